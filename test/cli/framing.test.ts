// serve --stdio in either framing, as a shell's scripts speak to it, and what it makes of input that is no message.
import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeDriverRoot } from '../support/driver-root.ts';
import { collect, runProgram, type Ended } from '../support/program.ts';
import { mainProgram } from '../support/served-host.ts';
import { removeFolder } from '../support/temporary-folder.ts';

/** A tree with a line end between its tokens, which JSON allows, and one in a string. */
const script = `
while IFS= read -r line; do
  printf '{"status":"ok","errors":[],"ast":{"a":\\r["\\\\n",1]}}\\n'
done`;

let folder: string;
let root: string;

beforeAll(async () => {
  ({ folder, root } = await makeDriverRoot('python', script));
});

afterAll(async () => {
  await removeFolder(folder);
});

const serve = (input: string | Uint8Array, ...options: string[]): Promise<Ended> =>
  runProgram(['serve', '--stdio', '--root', root, '--log-level', 'silent', ...options], { input });

const request = (id: number, method: string, params: object = {}): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params });
const parse = (id: number, more: object = {}): string =>
  request(id, 'parse', { content: 'x', language: 'python', ...more });

interface Answer {
  readonly id?: number | null;
}

const byId = (one: Answer, other: Answer): number => (one.id ?? 0) - (other.id ?? 0);

/** The messages of lines: nothing else may be there. */
function linesOf(stdout: string): Answer[] {
  expect(stdout).toMatch(/^([^\r\n]+\n)*$/);
  const lines = stdout.split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Answer).sort(byId);
}

function framesOf(stdout: string): Answer[] {
  const parts = stdout.split(/Content-Length: \d+\r\n\r\n/);
  expect(parts.shift()).toBe('');
  return parts.map((content) => JSON.parse(content) as Answer).sort(byId);
}

const parseError = { id: null, error: { code: -32_700, data: { kind: 'parseError' } } };

describe('a script that writes lines', () => {
  it('gets a line for each answer and notification', async () => {
    const trace = JSON.stringify({ jsonrpc: '2.0', method: '$/setTrace', params: { value: 'messages' } });
    const input = [trace, parse(1), parse(2), request(3, 'host/languages')].join('\n');
    const { status, stdout } = await serve(input, '--log-level', 'debug');
    expect(status).toBe(0);
    const answers = linesOf(stdout);
    expect(answers.filter(({ id }) => id !== undefined)).toMatchObject([
      { id: 1, result: { status: 'ok', uast: { a: ['\n', 1] } } },
      { id: 2, result: { status: 'ok', uast: { a: ['\n', 1] } } },
      { id: 3, result: { languages: [{ language: 'python' }] } },
    ]);
    expect(answers).toContainEqual(expect.objectContaining({ method: 'window/logMessage' }));
  });

  it.each([
    ['CRLF', '\r\n'],
    ['blank lines between them', '\n\n \t\n'],
  ])('may end them as it likes: %s', async (_what, end) => {
    const { status, stdout } = await serve(`\ufeff${end}${request(1, 'host/languages')}${end}${parse(2)}${end}`);
    expect(status).toBe(0);
    expect(linesOf(stdout)).toMatchObject([
      { id: 1, result: {} },
      { id: 2, result: { status: 'ok' } },
    ]);
  });

  it('is told of lines that are no message and of those that are too large, and the others are answered', async () => {
    const large = parse(4, { content: 'x'.repeat(70_000) });
    const input = ['[]', '{"secret": "x', large, parse(5), '{"id": 6}', '"x"'].join('\n');
    const { status, stdout } = await serve(input, '--max-message-bytes', '64K');
    expect(status).toBe(1);
    expect(linesOf(stdout)).toMatchObject([
      { id: null, error: { code: -32_600 } },
      parseError,
      { id: null, error: { code: -32_600 } },
      { id: 4, error: { data: { kind: 'contentTooLarge', contentBytes: large.length, limitBytes: 65_536 } } },
      { id: 5, result: { status: 'ok' } },
      { id: 6, error: { code: -32_600 } },
    ]);
    expect(stdout).not.toContain('secret');
  });

  it('of a shell works as docs/protocol.md has it', async () => {
    const page = await readFile(new URL('../../docs/protocol.md', import.meta.url), 'utf8');
    const example = /^```sh\n(.*?)^```/ms.exec(page)?.[1] ?? '';
    const sources = path.join(folder, 'sources');
    await mkdir(sources);
    for (const name of ['a.py', 'b.py', 'c.py']) await writeFile(path.join(sources, name), 'x = 1');
    const babelhost = `babelhost() { '${process.execPath}' '${mainProgram}' "$@"; }`;
    const environment = { ...process.env, BABELHOST_ROOT: root };
    const shell = spawn('sh', ['-c', `${babelhost}\n${example}`], { cwd: sources, env: environment });
    const { status, stdout } = await collect(shell);
    expect(status).toBe(0);
    const answers = stdout.trim().split('\n').sort();
    expect(answers).toHaveLength(3);
    for (const [index, answer] of answers.entries()) {
      expect(answer).toContain(`{"jsonrpc":"2.0","id":${index + 1},"result":{"language":"python"`);
    }
  });
});

describe('a script that writes headers', () => {
  it('may end their lines in LF alone, and messages in a line end', async () => {
    const frame = (content: string): string => `Content-Length: ${content.length}\n\n${content}\n`;
    const { status, stdout } = await serve(frame(request(1, 'host/languages')) + frame(parse(2)));
    expect(status).toBe(0);
    expect(framesOf(stdout)).toMatchObject([
      { id: 1, result: {} },
      { id: 2, result: { status: 'ok' } },
    ]);
  });

  it.each([
    ['a header without its end', 'Content-Length: 20\r\n'],
    ['a message of which a byte is missing', `Content-Length: 300\r\n\r\n${parse(7)}`],
    ['a large message of which bytes are missing', `Content-Length: 300000000\r\n\r\n${parse(7)}`],
    ['no header', 'hello\n\n'],
    ['no text', Buffer.from([0xff, 0xfe, 0x7b, 0x00, 0x0a, 0x00])],
  ])('gets what it asked before, and is told of what is left: %s', async (_what, rest) => {
    const before = parse(1);
    const input = Buffer.concat([Buffer.from(`Content-Length: ${before.length}\r\n\r\n${before}`), Buffer.from(rest)]);
    const { status, stdout } = await serve(input);
    expect(status).toBe(1);
    expect(framesOf(stdout)).toMatchObject([parseError, { id: 1, result: { status: 'ok' } }]);
  });
});

describe('--framing', () => {
  it('leaves no other', async () => {
    const line = `${request(1, 'host/languages')}\n`;
    const headers = await serve(line, '--framing', 'headers');
    expect(headers.status).toBe(1);
    expect(framesOf(headers.stdout)).toMatchObject([parseError]);
    const lines = await serve(`Content-Length: ${line.length}\n\n${line}`, '--framing', 'lines');
    expect(lines.status).toBe(1);
    expect(linesOf(lines.stdout)).toMatchObject([parseError, { id: 1, result: {} }]);
    expect(await serve('', '--framing', 'xml')).toMatchObject({ status: 2 });
  });

  it('is of no concern to who sends nothing', async () => {
    for (const nothing of ['', '\n', '\ufeff']) expect(await serve(nothing)).toMatchObject({ status: 0, stdout: '' });
  });
});
