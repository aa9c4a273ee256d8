// The javascript driver on the JavaScript and TypeScript files of large npm packages: every eighth, or all in the full round.
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { checkJavaScriptTree, countJavaScriptNodes, plainBabel } from '../real-input/javascript.ts';
import { NativeDriver } from './native-driver.ts';
import { sample } from '../support/storm.ts';

const modules = fileURLToPath(new URL('../../node_modules/', import.meta.url));

describe('the javascript driver', () => {
  it.each(['typescript', 'vite', 'zod', 'prettier', '@babel', 'vitest', 'eslint', 'rolldown'])(
    'gives files of %s that Babel accepts a tree with right places and as many nodes',
    async (name) => {
      const all = globSync('**/*.{js,mjs,cjs,jsx,ts,mts,cts,tsx}', { cwd: path.join(modules, name) });
      expect(all.length).toBeGreaterThan(10);
      const files = sample(8, all);
      await using driver = new NativeDriver('javascript');
      const problems: string[] = [];
      const found = { ok: 0, names: 0, strings: 0 };
      for (const file of files) {
        const source = readFileSync(path.join(modules, name, file), 'utf8');
        // A tree takes sixty times the space of its source in this process.
        if (source.length > 4_000_000) continue;
        const expected = plainBabel(source, file);
        const answer = await driver.parse(source, { language: 'javascript', filename: file });
        if (expected.ok && answer.status !== 'ok') problems.push(`${file}: ${JSON.stringify(answer.errors)}`);
        if (answer.ast === null) continue;
        const check = checkJavaScriptTree(source, answer.ast);
        problems.push(...check.problems.map((problem) => `${file}: ${problem}`));
        if (!expected.ok) continue;
        const nodes = countJavaScriptNodes(answer.ast);
        if (nodes !== expected.nodes) problems.push(`${file}: ${nodes} nodes instead of ${expected.nodes}`);
        found.ok += 1;
        found.names += check.names;
        found.strings += check.strings;
      }
      expect(problems).toEqual([]);
      expect(found.ok).toBeGreaterThan(files.length * 0.9);
      expect(found.names).toBeGreaterThan(100);
      expect(found.strings).toBeGreaterThan(10);
      expect(await driver.end()).toBe(0);
      expect(driver.stderr).toBe('');
    },
  );
});
