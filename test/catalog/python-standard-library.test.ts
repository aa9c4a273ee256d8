// The python driver on the files of this machine's Python standard library: every fourth, or all in the full round.
import { isUtf8 } from 'node:buffer';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { checkPythonTree, countPythonNodes, plainPython } from '../real-input/python.ts';
import { NativeDriver, python } from './native-driver.ts';
import { sample } from '../support/storm.ts';

const compareScript = fileURLToPath(new URL('compare_python_tree.py', import.meta.url));
const driverModules = fileURLToPath(new URL('../../catalog/python/lib', import.meta.url));

describe('the python driver, on the standard library', () => {
  it(
    'gives every valid file a tree with right places and as many nodes as Python itself',
    { timeout: 300_000 },
    async () => {
      const all = globSync('/usr/lib/python3.*/**/*.py');
      expect(all.length).toBeGreaterThan(500);
      const files = sample(4, all);
      const plain = await plainPython(files, python);
      expect(plain.size).toBe(files.length);
      await using driver = new NativeDriver('python');
      const problems: string[] = [];
      const found = { names: 0, strings: 0, comments: 0, nodes: 0 };
      for (const file of files) {
        const bytes = readFileSync(file);
        const source = isUtf8(bytes) ? bytes.toString('utf8') : undefined;
        const answer = source === undefined ? await driver.parseBytes(bytes) : await driver.parse(source);
        const expected = plain.get(file);
        if (expected?.ok !== (answer.status === 'ok')) problems.push(`${file}: ${JSON.stringify(answer.errors)}`);
        if (answer.status !== 'ok') continue;
        const nodes = countPythonNodes(answer.ast);
        if (nodes !== expected?.nodes) problems.push(`${file}: ${nodes} nodes instead of ${expected?.nodes}`);
        const check = checkPythonTree(source ?? bytes.toString('latin1'), answer.ast);
        problems.push(...check.problems.map((problem) => `${file}: ${problem}`));
        found.nodes += nodes;
        found.names += check.names;
        found.strings += check.strings;
        found.comments += check.comments;
      }
      expect(problems).toEqual([]);
      expect(found.nodes).toBeGreaterThan(100_000);
      expect(found.names).toBeGreaterThan(60_000);
      expect(found.strings).toBeGreaterThan(4000);
      expect(found.comments).toBeGreaterThan(1000);
      expect(await driver.end()).toBe(0);
      expect(driver.stderr).toBe('');
    },
  );

  it('keeps every field and every comment as CPython has them', async () => {
    const files = sample(4, globSync('/usr/lib/python3.*/**/*.py'));
    const child = spawn(python, ['-I', compareScript, driverModules], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.end(files.map((file) => `${file}\n`).join(''));
    const [differences] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    expect(differences).toBe('');
    expect(child.exitCode).toBe(0);
  });
});
