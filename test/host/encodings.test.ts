// What a driver reads of a source: text, unless its manifest says that it reads base64, or nothing at all. One that ignores
// the encoding would parse the base64 as if it were the source.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FileResult } from '../../src/protocol/methods.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { runProgram } from '../support/program.ts';
import { serveHost, uriOf, type ServedHost } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

/** Answers with the request that it was written. As Babelfish's Python driver, it fails on an empty source. */
const plain = `
while IFS= read -r line; do
  case $line in *'"content":""'*) exit 1;; esac
  printf '{"status":"ok","errors":[],"ast":%s}\\n' "$line"
done`;
/** Answers so whatever the source is. */
const knowing = `
while IFS= read -r line; do
  printf '{"status":"ok","errors":[],"ast":%s}\\n' "$line"
done`;

const sources = {
  text: Buffer.from('x = "é"\n'),
  mark: Buffer.from('\ufeffx = 1\n'),
  space: Buffer.from(' \n'),
  empty: Buffer.alloc(0),
  latin: Buffer.from('x = "\xe9"\n', 'latin1'),
  utf16: Buffer.from('\ufeffx = 1\n', 'utf16le'),
};
type Name = keyof typeof sources;
const text = ['text', 'mark', 'space'] as const;
const notText = ['latin', 'utf16'] as const;

let folder: string;
let root: string;
let host: ServedHost;

const fileOf = (name: Name, language: string): string => path.join(folder, 'sources', `${name}.${language}`);

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  root = path.join(folder, 'root');
  host = serveHost(root);
  const references = [
    await buildScriptDriver(folder, { language: 'tcl', script: plain }),
    await buildScriptDriver(folder, {
      language: 'lua',
      script: knowing,
      manifest: 'language = "lua"\nfeatures = ["content.base64", "content.empty"]\n',
    }),
  ];
  for (const reference of references) await host.client.request('driver/install', { reference });
  await mkdir(path.join(folder, 'sources'));
  for (const [name, bytes] of Object.entries(sources)) {
    for (const language of ['tcl', 'lua']) await writeFile(fileOf(name as Name, language), bytes);
  }
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await removeFolder(folder);
});

const parse = (source: { content: string } | { uri: string }, encoding: 'utf8' | 'base64', language: string) =>
  host.client.request('parse', { ...source, encoding, language });

/** The ways to hand over a source: those of text, and those of bytes. */
function ways(name: Name, language: string) {
  const uri = uriOf(fileOf(name, language));
  const content = sources[name];
  return {
    text: () => parse({ content: content.toString() }, 'utf8', language),
    file: () => parse({ uri }, 'utf8', language),
    base64: () => parse({ content: content.toString('base64') }, 'base64', language),
    fileInBase64: () => parse({ uri }, 'base64', language),
  };
}

describe('a driver that says nothing of encodings', () => {
  it.each(text)('gets %s as text, in whichever way that comes', async (name) => {
    for (const way of Object.values(ways(name, 'tcl'))) {
      expect((await way()).uast).toEqual({ content: sources[name].toString(), encoding: 'utf8' });
    }
  });

  it.each(notText)('is not given %s, and the advice is not to give it bytes', async (name) => {
    const { file, base64, fileInBase64 } = ways(name, 'tcl');
    for (const way of [file, base64, fileInBase64]) {
      await expect(way()).rejects.toMatchObject({
        kind: 'invalidEncoding',
        message: expect.stringMatching(/is not UTF-8; convert it: the tcl driver reads nothing else/) as string,
        data: { language: 'tcl' },
      });
    }
  });

  it('is not asked for an empty source: its tree is null', async () => {
    for (const way of Object.values(ways('empty', 'tcl'))) {
      expect(await way()).toMatchObject({ status: 'ok', errors: [], uast: null, uastBytes: 4, language: 'tcl' });
    }
    await expect(
      host.client.request('parse', { content: '', language: 'tcl', mode: 'semantic' }),
    ).rejects.toMatchObject({ kind: 'modeNotSupported' });
  });
});

describe('a driver whose manifest says that it reads base64 and empty sources', () => {
  it.each([...text, ...notText, 'empty'] as const)('gets %s as it was handed over', async (name) => {
    const { text: asText, file, base64, fileInBase64 } = ways(name, 'lua');
    const bytes = { content: sources[name].toString('base64'), encoding: 'base64' };
    for (const way of [base64, fileInBase64]) expect((await way()).uast).toEqual(bytes);
    if (name === 'latin' || name === 'utf16') return;
    const string = { content: sources[name].toString(), encoding: 'utf8' };
    for (const way of [asText, file]) expect((await way()).uast).toEqual(string);
  });

  it.each(notText)('is not given a file of %s unasked, and the advice says how to ask', async (name) => {
    await expect(ways(name, 'lua').file()).rejects.toMatchObject({
      kind: 'invalidEncoding',
      message: expect.stringMatching(/convert it, or ask with encoding "base64" .*lua driver/) as string,
      data: { encoding: 'utf8', uri: uriOf(fileOf(name, 'lua')) },
    });
  });
});

it('base64 that is cut, or is none, is refused for every driver', async () => {
  for (const content of ['eCA9IDE', 'eCA9ID', 'A===', 'A', 'eCA9-DEK', 'eCA9IDEK\n']) {
    for (const language of ['tcl', 'lua']) {
      await expect(parse({ content }, 'base64', language)).rejects.toMatchObject({ kind: 'invalidEncoding' });
    }
  }
});

it('files of a folder are given to their drivers alike', async () => {
  const results: FileResult[] = [];
  await writeFile(path.join(folder, 'sources', 'binary'), Buffer.from([0xff, 0xfe, 0, 1, 0x80]));
  const summary = await host.client.request(
    'parse/files',
    { root: uriOf(path.join(folder, 'sources')) },
    { onPartialResult: (some) => results.push(...some) },
  );
  expect(summary).toMatchObject({ ok: 8, failed: 4, failures: { invalidEncoding: 4 }, skipped: 1 });
  const uastOf = (name: Name, language: string): unknown => {
    const found = results.find(({ uri }) => uri === uriOf(fileOf(name, language)));
    return found !== undefined && 'uast' in found ? found.uast : found;
  };
  expect([uastOf('empty', 'tcl'), uastOf('empty', 'lua')]).toEqual([null, { content: '', encoding: 'utf8' }]);
  expect(uastOf('mark', 'tcl')).toEqual({ content: sources.mark.toString(), encoding: 'utf8' });
});

it('the command line says what the host says, and takes bytes from stdin, too', async () => {
  const run = (words: readonly string[], input?: Buffer) =>
    runProgram(['parse', ...words, '--root', root], input === undefined ? {} : { input });
  const refused = await run([fileOf('latin', 'tcl'), '--encoding', 'base64']);
  expect(refused).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('the tcl driver reads nothing else') as string,
  });
  const taken = await run(['-', '--language', 'lua', '--encoding', 'base64'], sources.latin);
  expect(JSON.parse(taken.stdout)).toMatchObject({ uast: { content: sources.latin.toString('base64') } });
  const empty = await run([fileOf('empty', 'tcl')]);
  expect(JSON.parse(empty.stdout)).toMatchObject({ status: 'ok', errors: [], uast: null });
});
