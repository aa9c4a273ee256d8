import { describe, expect, it } from 'vitest';
import { detectLanguages, languageNames } from '../../../src/drivers/parse/detection.ts';

describe('the detection of a language', () => {
  it.each([
    ['by extension', { filename: 'a/b/c.py' }, ['python']],
    ['by the longest extension', { filename: 'types.d.ts' }, ['typescript', 'xml']],
    ['by extension in another case', { filename: 'A.PY' }, ['python']],
    ['by filename', { filename: 'dir/SConstruct' }, ['python']],
    ['by a shebang', { content: '#!/usr/bin/python3\n' }, ['python']],
    ['by a shebang with a version', { content: '#! /usr/local/bin/python3.11 -I\n' }, ['python']],
    ['by a shebang through env', { content: '#!/usr/bin/env -S LANG=C node --x\n', filename: 'x.js' }, ['javascript']],
    ['by an Emacs modeline', { filename: 'x.txt', content: '# -*- mode: Python; coding: utf-8 -*-\n' }, ['python']],
    ['by a short Emacs modeline', { content: '// -*- TypeScript -*-' }, ['typescript']],
    ['by a Vim modeline at the end', { content: `${'x\n'.repeat(5000)}# vim: set ts=4 ft=python et:\n` }, ['python']],
    ['not by a modeline far from both ends', { content: `${'x'.repeat(2048)} vim: ft=python ${'x'.repeat(2048)}` }, []],
    ['with what remains open', { filename: 'a.h' }, ['c', 'cpp', 'objective-c']],
    ['with prose first', { filename: 'README.md' }, ['markdown', 'gcc-machine-description']],
    ['with the language that editors know first', { filename: 'a.rs' }, ['rust', 'renderscript', 'xml']],
    ['not by a coding cookie', { content: '# -*- coding: latin-1 -*-\n' }, []],
    ['not without anything known', { filename: 'a.zzz', content: 'hello' }, []],
    ['not of an empty source', {}, []],
  ])('works %s', async (_how, source, expected) => {
    expect(await detectLanguages(source)).toEqual(expected);
  });

  it('ends soon on a first line without end', async () => {
    const startedAt = performance.now();
    await detectLanguages({ content: `#!${' a=b'.repeat(1_000_000)}` });
    await detectLanguages({ content: '-*- '.repeat(1_000_000) });
    await detectLanguages({ content: 'vim: ft'.repeat(1_000_000) });
    expect(performance.now() - startedAt).toBeLessThan(5000);
  });

  it('knows the names that people use', async () => {
    expect(await languageNames('JS')).toContain('javascript');
    expect(await languageNames('c++')).toContain('cpp');
    expect(await languageNames('no such language')).toEqual([]);
  });
});
