// Writes docs/protocol.md from the method table: `npm run protocol-document`. A test sees that it is up to date.
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { errorCodes } from '../src/base/errors.ts';
import type { Method, Notification } from '../src/protocol/methods/method.ts';
import { methods, notifications } from '../src/protocol/methods.ts';
import { schemaOf } from '../src/protocol/openrpc.ts';

const file = fileURLToPath(new URL('../docs/protocol.md', import.meta.url));

/** A whole request, to count the bytes of. */
const example = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'parse',
  params: { content: 'naïve = 1', language: 'python' },
});

interface Schema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly description?: string;
}

/** A schema as a short type, in TypeScript's manner. */
function typeOf(schema: Schema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(' \\| ');
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(typeOf))].join(' \\| ');
  if (schema.type === 'array') return schema.items === undefined ? 'unknown[]' : `${grouped(typeOf(schema.items))}[]`;
  if (schema.type === 'object') {
    if (schema.properties !== undefined && Object.keys(schema.properties).length > 0) return 'object';
    return typeof schema.additionalProperties === 'object' && Object.keys(schema.additionalProperties).length > 0
      ? `map of ${typeOf(schema.additionalProperties)}`
      : 'object';
  }
  return typeof schema.type === 'string' ? schema.type : 'any JSON';
}

const grouped = (type: string): string => (type.includes(' ') ? `(${type})` : type);

/** The rows of a table for an object's members, those of objects within it indented by their path. */
function rows(schema: Schema, prefix = ''): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    const optional = schema.required?.includes(name) === true ? '' : '?';
    const inner = member.type === 'array' && member.items !== undefined ? member.items : member;
    const nested =
      inner.properties === undefined ? [] : rows(inner, `${prefix}${name}${member.type === 'array' ? '[]' : ''}.`);
    return [`| \`${prefix}${name}${optional}\` | ${typeOf(member)} | ${member.description ?? ''} |`, ...nested];
  });
}

function table(schema: Schema): string[] {
  const lines = rows(schema);
  return lines.length === 0 ? [] : ['', '| member | type | meaning |', '| --- | --- | --- |', ...lines];
}

function methodSection([name, method]: [string, Method]): string[] {
  const params = schemaOf(method.params(), 'input') as Schema;
  const result = schemaOf(method.result(), 'output') as Schema;
  const partial =
    method.partialResult === undefined ? undefined : (schemaOf(method.partialResult(), 'output') as Schema);
  const parameters = table(params);
  const results = table(result);
  return [
    '',
    `### \`${name}\``,
    '',
    method.summary,
    ...(method.description === undefined ? [] : ['', method.description]),
    '',
    ...(parameters.length === 0 ? ['No parameters.'] : ['Parameters:', ...parameters]),
    '',
    ...(results.length === 0 ? [`Result: ${typeOf(result)}.`] : ['Result:', ...results]),
    ...(partial === undefined
      ? []
      : ['', 'Partial results: lists of what `parse` answers with, each with its `uri`; or `{uri, error}`.']),
    ...(method.errors.length === 0 ? [] : ['', `Errors: ${method.errors.map((kind) => `\`${kind}\``).join(', ')}.`]),
  ];
}

const framing = [
  '## Framing',
  '',
  'The first byte of a connection tells how its messages lie in the stream, and the host answers in the same way: `{` or',
  '`[` begins a line of JSON, anything else a header. `babelhost serve --framing lines` or `headers` takes no other.',
  '',
  '- **headers**, as in LSP. A header line may end in LF alone, and empty lines may stand before it.',
  '- **lines**: a message is one line, ended by LF or CRLF, the last one also by the end of the stream; each answer and each',
  '  notification is one line, ended by LF. Blank lines are passed over. That is all a shell needs:',
  '',
  '```sh',
  'id=0',
  'for file in "$PWD"/*.py; do',
  '  id=$((id + 1))',
  `  printf '{"jsonrpc":"2.0","id":%d,"method":"parse","params":{"uri":"file://%s"}}\\n' "$id" "$file"`,
  'done | babelhost serve | while read -r answer; do',
  '  printf \'%.80s\\n\' "$answer"',
  'done',
  '```',
  '',
  'A byte order mark before the first message is passed over. A message that is larger than `--max-message-bytes` is answered',
  'with `contentTooLarge` and its id, and the next one is read. A line, or the content of a frame, that is no JSON is answered',
  'with `parseError` and the id `null`, and the next one is read; behind a header that is none, nothing is. Bytes that are left',
  'at the end and are no message are answered so, too. With `--stdio` the exit status is 1 where anything was answered with the',
  'id `null`.',
  '',
  'A client that ends its stream gets the answers to all that it has asked, and then the end. One that closes its socket as a',
  'whole, or both pipes, is taken to have cancelled all of it: a socket that is closed is noticed within half a second. One for',
  'whom there is no room (`serve --max-clients`) gets the error `overloaded` with the id `null`, and then the end.',
  '',
];

/** The whole document. */
export function protocolDocument(): string {
  const calls = Object.entries(methods as Readonly<Record<string, Method>>);
  const notes = Object.entries(notifications as Readonly<Record<string, Notification>>);
  const lines = [
    '# The protocol',
    '',
    '<!-- Made by `npm run protocol-document` from src/protocol/methods.ts; change it there. -->',
    '',
    'JSON-RPC 2.0 over `babelhost serve --stdio` (or a socket), in the frames of the Language Server Protocol:',
    '',
    '```',
    `Content-Length: ${Buffer.byteLength(example)}\\r\\n`,
    '\\r\\n',
    example,
    '```',
    '',
    'or in lines, one for each message. The length counts bytes of UTF-8. Parameters are named, never positional; names that',
    'are not known are refused where a method takes a fixed set. There are no batches. `initialize` is optional, and may be',
    'sent once: a script may begin with its first request.',
    '',
    'Requests of one connection are worked on at the same time and answered as they are done, not in their order.',
    '`rpc.discover` answers with all of this as an OpenRPC document.',
    '',
    ...framing,
    '## Methods',
    '',
    '| method | does |',
    '| --- | --- |',
    ...calls.map(
      ([name, { summary }]) => `| [\`${name}\`](#${name.replaceAll(/[^\w-]/g, '').toLowerCase()}) | ${summary} |`,
    ),
    ...calls.flatMap(methodSection),
    '',
    '## Notifications',
    '',
    '| notification | sent by | does |',
    '| --- | --- | --- |',
    ...notes.map(([name, { sentBy, summary }]) => `| \`${name}\` | ${sentBy} | ${summary} |`),
    '',
    '## Errors',
    '',
    'Every error has a `code`, a `message` that says what happened and what to do, and `data` with the `kind` and what a',
    'program needs to act on it: sizes in bytes (`…Bytes`), times in milliseconds (`…Ms`). Codes never change.',
    '',
    '| code | kind |',
    '| --- | --- |',
    ...Object.entries(errorCodes).map(([kind, code]) => `| ${code} | \`${kind}\` |`),
    '| -32700 | `parseError`: the frame or its JSON is broken |',
    '| -32600 | `invalidRequest`: not a request, or one after `shutdown`, or a second `initialize` |',
    '| -32601 | `methodNotFound` |',
    '| -32602 | `invalidParams`: `data.issues` tells each place and what is wrong there |',
    '| -32603 | `internalError`: a fault of babelhost; its log tells more |',
    '| -32800 | `requestCancelled` |',
    '',
  ];
  return lines.join('\n');
}

if (import.meta.main) await writeFile(file, protocolDocument());
