// Real source trees through the whole of it: the served host, its containers, its pools, its frames.
import { globSync, lstatSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { FileResult, Result } from '../../src/protocol/methods.ts';
import { checkJavaScriptTree, countJavaScriptNodes, plainBabel } from '../real-input/javascript.ts';
import { checkPythonTree, countPythonNodes, plainPython } from '../real-input/python.ts';
import { cataloguedImage } from '../support/driver-images.ts';
import { serveHost, uriOf, type ServedHost } from '../support/served-host.ts';
import { isLong } from '../support/storm.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

const modules = fileURLToPath(new URL('../../node_modules/', import.meta.url));

let folder: string;
let host: ServedHost;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  host = serveHost(path.join(folder, 'root'));
  for (const name of ['python', 'javascript'] as const) {
    await host.client.request('driver/install', { reference: cataloguedImage(inject('catalogue'), name) });
  }
});

afterAll(async () => {
  expect(await host.stop()).toBe(0);
  await removeFolder(folder);
});

interface Counts {
  readonly names: number;
  readonly strings: number;
}

/** The files below a folder; links are not among them, as `parse/files` does not follow them. */
function filesBelow(root: string, pattern: string): string[] {
  const found = globSync(pattern, { cwd: root }).map((file) => path.join(root, file));
  return found.filter((file) => lstatSync(file).isFile());
}

/** Parses all files below a folder, hands each result to `check`, and sees that every file got exactly one. */
async function parseAll(
  root: string,
  include: string,
  files: readonly string[],
  check: (file: string, result: FileResult) => void,
): Promise<Result<'parse/files'>> {
  const answered = new Map<string, number>();
  const summary = await host.client.request(
    'parse/files',
    { root: uriOf(root), include: [include], noIgnore: true },
    {
      onPartialResult: (results) => {
        for (const result of results) {
          const file = fileURLToPath(result.uri);
          answered.set(file, (answered.get(file) ?? 0) + 1);
          check(file, result);
        }
      },
    },
  );
  expect([...answered.keys()].sort()).toEqual([...files].sort());
  expect([...answered.values()].every((times) => times === 1)).toBe(true);
  expect(summary).toMatchObject({ files: files.length, failed: 0, skipped: 0 });
  expect(summary.ok + summary.error).toBe(files.length);
  return summary;
}

describe('every file of the Python standard library', () => {
  it('gets an answer, with right places and as many nodes as Python itself counts', { timeout: 600_000 }, async () => {
    const [root = ''] = globSync('/usr/lib/python3.*').filter((each) => /python3\.\d+$/.test(each));
    const files = filesBelow(root, '**/*.py');
    expect(files.length).toBeGreaterThan(500);
    const plain = await plainPython(files, '/usr/bin/python3');
    const problems: string[] = [];
    const found: Counts & { nodes: number } = { names: 0, strings: 0, nodes: 0 };
    await parseAll(root, '**/*.py', files, (file, result) => {
      const expected = plain.get(file);
      if ('error' in result || (result.status === 'ok') !== expected?.ok) {
        problems.push(`${file}: ${JSON.stringify({ ...result, uast: undefined })}`);
        return;
      }
      if (result.status !== 'ok') return;
      const nodes = countPythonNodes(result.uast);
      if (nodes !== expected.nodes) problems.push(`${file}: ${nodes} nodes instead of ${expected.nodes}`);
      const check = checkPythonTree(readFileSync(file, 'utf8'), result.uast);
      problems.push(...check.problems.map((problem) => `${file}: ${problem}`));
      Object.assign(found, {
        names: found.names + check.names,
        strings: found.strings + check.strings,
        nodes: found.nodes + nodes,
      });
    });
    expect(problems).toEqual([]);
    expect(found.nodes).toBeGreaterThan(500_000);
    expect(found.names).toBeGreaterThan(300_000);
    expect(found.strings).toBeGreaterThan(20_000);
  });
});

describe('every JavaScript and TypeScript file', () => {
  it.each(isLong ? ['typescript', 'zod', 'prettier', 'vite'] : ['zod', 'vite'])(
    'of %s gets an answer, with right places and as many nodes as Babel itself counts',
    { timeout: 600_000 },
    async (name) => {
      const root = path.join(modules, name);
      const pattern = '**/*.{js,mjs,cjs,ts,tsx}';
      const files = filesBelow(root, pattern);
      expect(files.length).toBeGreaterThan(10);
      const problems: string[] = [];
      const found: Counts & { ok: number } = { names: 0, strings: 0, ok: 0 };
      await parseAll(root, pattern, files, (file, result) => {
        if ('error' in result) {
          problems.push(`${file}: ${JSON.stringify(result)}`);
          return;
        }
        const source = readFileSync(file, 'utf8');
        const expected = plainBabel(source, file);
        if (expected.ok && result.status !== 'ok') problems.push(`${file}: ${JSON.stringify(result.errors)}`);
        if (result.uast === null) return;
        const check = checkJavaScriptTree(source, result.uast);
        problems.push(...check.problems.map((problem) => `${file}: ${problem}`));
        if (!expected.ok) return;
        const nodes = countJavaScriptNodes(result.uast);
        if (nodes !== expected.nodes) problems.push(`${file}: ${nodes} nodes instead of ${expected.nodes}`);
        Object.assign(found, {
          names: found.names + check.names,
          strings: found.strings + check.strings,
          ok: found.ok + 1,
        });
      });
      expect(problems).toEqual([]);
      expect(found.ok).toBeGreaterThan(files.length * 0.9);
      expect(found.names).toBeGreaterThan(1000);
    },
  );
});
