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
    'The length counts bytes of UTF-8. Parameters are named, never positional; names that are not known are refused where',
    'a method takes a fixed set. There are no batches. `initialize` is optional: a script may send its first request at',
    'once. A client that closes its end still gets the answers to what it asked.',
    '',
    'Requests of one connection are worked on at the same time and answered as they are done, not in their order.',
    '`rpc.discover` answers with all of this as an OpenRPC document.',
    '',
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
    '| -32600 | `invalidRequest`: not a request, or one after `shutdown` |',
    '| -32601 | `methodNotFound` |',
    '| -32602 | `invalidParams`: `data.issues` tells each place and what is wrong there |',
    '| -32603 | `internalError`: a fault of babelhost; its log tells more |',
    '| -32800 | `requestCancelled` |',
    '',
  ];
  return lines.join('\n');
}

if (import.meta.main) await writeFile(file, protocolDocument());
