// Files that a host reads by their URIs or finds below a folder: whatever bytes are in their names, the right one is read.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, pathOfFileUri, uriOfPath } from '../../src/protocol/client.ts';
import type { FileResult, Params } from '../../src/protocol/methods.ts';
import { writeTree } from '../drivers/walk/tree.ts';
import { listeningHost, type ListeningHost } from '../support/listening-host.ts';

/** Answers with the request that it was written. */
const script = `
while IFS= read -r line; do
  printf '{"status":"ok","errors":[],"ast":%s}\\n' "$line"
done`;

let host: ListeningHost;
let stream: Socket;
let client: Client;

beforeAll(async () => {
  host = await listeningHost({ language: 'python', script }, ['--max-instances', '1']);
  stream = connect(host.socket);
  await once(stream, 'connect');
  client = new Client(stream, stream);
});

afterAll(async () => {
  client[Symbol.dispose]();
  stream.destroy();
  await host[Symbol.asyncDispose]();
});

const at = (...names: string[]): Buffer => Buffer.from(path.join(host.folder, ...names), 'latin1');

async function parseFiles(params: Params<'parse/files'>) {
  const results: FileResult[] = [];
  const summary = await client.request('parse/files', params, { onPartialResult: (some) => results.push(...some) });
  return { summary, results };
}

/** What the driver was handed of each file, by the file's URI. */
const contents = (results: readonly FileResult[]) =>
  new Map(results.map((each) => [each.uri, 'uast' in each ? (each.uast as { content: string }).content : each.error]));

const names = [
  'caf\xe9.py',
  '\xff\xfe/\xff.py',
  'caf\xc3\xa9.py',
  'a\nb.py',
  '"\'.py',
  'a%E9b.py',
  '\\xe9.py',
  ' .py',
  'a?b#c.py',
];

describe('files with any bytes in their names', () => {
  it('are found below a folder, parsed, and told by the URIs that lead to them', async () => {
    await writeTree(at('names').toString(), Object.fromEntries(names.map((name, index) => [name, `x = ${index}`])));
    const expected = new Map(names.map((name, index) => [uriOfPath(at('names', name)), `x = ${index}`]));
    expect([...expected.keys()].map((uri) => path.basename(uri))).toEqual([
      'caf%E9.py',
      '%FF.py',
      'caf%C3%A9.py',
      'a%0Ab.py',
      `%22'.py`,
      'a%25E9b.py',
      '%5Cxe9.py',
      '%20.py',
      'a%3Fb%23c.py',
    ]);
    const { summary, results } = await parseFiles({ root: uriOfPath(at('names')) });
    expect(summary).toMatchObject({ files: names.length, ok: names.length, skipped: 0 });
    expect(contents(results)).toEqual(expected);
    const again = await parseFiles({ uris: [...expected.keys()] });
    expect(contents(again.results)).toEqual(expected);
    for (const [uri, content] of expected) {
      expect(pathOfFileUri(uri).equals(at('names')), uri).toBe(false);
      expect((await client.request('parse', { uri })).uast).toMatchObject({ content });
    }
    const below = await parseFiles({ root: uriOfPath(at('names', '\xff\xfe')) });
    expect(contents(below.results)).toEqual(new Map([[uriOfPath(at('names', '\xff\xfe', '\xff.py')), 'x = 1']]));
  });

  it('are told by text that shows their bytes where something is wrong with them', async () => {
    await mkdir(at('bad'), { recursive: true });
    await writeFile(at('bad', 'caf\xe9.py'), Buffer.from([0xff]));
    await writeFile(at('bad', '\xe9'), '');
    const failure = (name: string) =>
      client.request('parse', { uri: uriOfPath(at('bad', name)) }).catch((error: unknown) => error);
    const place = at('bad').toString();
    expect(await failure('caf\xe9.py')).toMatchObject({
      kind: 'invalidEncoding',
      message: expect.stringContaining(`${place}/caf\\xe9.py is not UTF-8`) as string,
      data: { uri: `${uriOfPath(at('bad'))}/caf%E9.py` },
    });
    expect(await failure('\xff.py')).toMatchObject({
      kind: 'notFound',
      message: expect.stringContaining(`${place}/\\xff.py cannot be read: ENOENT`) as string,
      data: { uri: `${uriOfPath(at('bad'))}/%FF.py`, code: 'ENOENT' },
    });
    expect(await failure('\xe9')).toMatchObject({
      kind: 'languageNotDetected',
      message: expect.stringContaining(`${place}/\\xe9 could not be told`) as string,
    });
    expect(await failure('x'.repeat(256))).toMatchObject({ kind: 'notFound', data: { code: 'ENAMETOOLONG' } });
    expect(await failure('x/'.repeat(3000))).toMatchObject({ kind: 'notFound', data: { code: 'ENAMETOOLONG' } });
    expect(await parseFiles({ root: uriOfPath(at('bad', '\xfe')) }).catch((error: unknown) => error)).toMatchObject({
      kind: 'notFound',
      message: expect.stringContaining(`${place}/\\xfe cannot be read`) as string,
    });
  });

  it('are refused where a URI can be no file’s, each for itself', async () => {
    await writeTree(at('refused').toString(), { 'a.py': 'a', 'b/c.py': 'c' });
    const root = uriOfPath(at('refused'));
    const wrong = [`${root}/a.py%00`, `${root}/b%2Fc.py`, `${root}/a.py%`, 'file://elsewhere/a.py', 'a.py'];
    const { summary, results } = await parseFiles({ uris: [...wrong, `${root}/a.py`] });
    expect(summary).toMatchObject({ files: 6, ok: 1, failed: 5, failures: { notFound: 5 } });
    for (const uri of wrong) {
      expect(results.find((each) => each.uri === uri)).toMatchObject({
        error: { message: expect.stringContaining(`${uri} is no file: URI of this machine`) as string, data: { uri } },
      });
    }
  });
});

describe('the files below a folder', () => {
  it('are without those that ignore files name and hidden ones, unless they are asked for', async () => {
    await writeTree(at('project').toString(), {
      '.git/config': '',
      '.gitignore': 'node_modules/\n*_pb.py\n',
      'a.py': 'a',
      'a_pb.py': 'pb',
      '.b.py': 'b',
      'node_modules/m/c.py': 'c',
    });
    const root = uriOfPath(at('project'));
    const parsed = async (more: Omit<Params<'parse/files'>, 'root' | 'uris'>) => {
      const { summary, results } = await parseFiles({ root, ...more });
      return [[...contents(results).values()].sort(), summary.ignored];
    };
    expect(await parsed({})).toEqual([['a'], 2]);
    expect(await parsed({ hidden: true })).toEqual([['a', 'b'], 2]);
    expect(await parsed({ noIgnore: true })).toEqual([['a', 'c', 'pb'], 0]);
    expect(await parsed({ noIgnore: true, hidden: true })).toEqual([['a', 'b', 'c', 'pb'], 0]);
    const named = await parseFiles({ uris: [`${root}/a_pb.py`, `${root}/node_modules/m/c.py`] });
    expect(named.summary).toMatchObject({ files: 2, ok: 2, ignored: 0 });
  });

  it('are parsed where an ignore file cannot be used, of which the summary warns; of many a hundred times', async () => {
    const folders = Array.from({ length: 150 }, (_, index) => `${index}`);
    await writeTree(at('fifos').toString(), Object.fromEntries(folders.map((name) => [`${name}/a.py`, 'a'])));
    execFileSync(
      'mkfifo',
      folders.map((name) => at('fifos', name, '.ignore').toString()),
    );
    const { summary } = await parseFiles({ root: uriOfPath(at('fifos')) });
    expect(summary).toMatchObject({ files: 150, ok: 150, ignored: 0 });
    expect(summary.warnings).toHaveLength(101);
    expect(summary.warnings[0]?.message).toMatch(/\/fifos\/\d+\/\.ignore is not used: it is not a regular file\.$/);
    expect(summary.warnings.at(-1)).toEqual({
      uri: uriOfPath(at('fifos')),
      message: '50 more warnings are not listed.',
    });
  });
});
