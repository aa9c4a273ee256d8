// docs/writing-a-driver.md, followed to the letter: its files, its commands and its answers.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runProgram } from '../support/program.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const docs = fileURLToPath(new URL('../../docs/', import.meta.url));
const example = path.join(docs, 'examples/ini-driver');
const page = await readFile(path.join(docs, 'writing-a-driver.md'), 'utf8');

/** The page's blocks of code in a language. */
function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map((match) => match[1] ?? '');
}

describe('docs/writing-a-driver.md', () => {
  it('shows the files of its example as they are', async () => {
    const file = async (name: string): Promise<string> => readFile(path.join(example, name), 'utf8');
    expect(blocks('python')).toEqual([await file('native')]);
    expect(blocks('toml')).toEqual([await file('manifest.toml'), await file('image.toml')]);
  });

  it('has commands that build, install and use its driver', async () => {
    const folder = await temporaryFolder();
    const recipe = path.join(folder, 'ini-driver');
    await mkdir(recipe);
    for (const name of ['native', 'manifest.toml', 'image.toml']) {
      await writeFile(path.join(recipe, name), await readFile(path.join(example, name)));
    }
    const [request] = blocks('text');
    const { content } = JSON.parse(request ?? '') as { content: string };
    await writeFile(path.join(recipe, 'settings.ini'), `${content}broken\n`);
    const commands = blocks('sh')
      .flatMap((block) => block.split('\n'))
      .filter((line) => line.startsWith('babelhost '));
    expect(commands).toHaveLength(3);
    let last = '';
    for (const command of commands) {
      const [, ...words] = command.split(' ');
      const { status, stdout, stderr } = await runProgram([...words, '--root', path.join(folder, 'root')], {
        cwd: recipe,
      });
      expect({ command, status, stderr: status === 0 ? '' : stderr }).toEqual({ command, status: 0, stderr: '' });
      last = stdout;
    }
    expect(JSON.parse(last)).toMatchObject({
      language: 'ini',
      status: 'error',
      errors: [{ message: "There is no '=' in this line.", line: 3, column: 1, offset: content.length }],
      uast: {
        type: 'File',
        sections: [{ type: 'Section', name: 'server', entries: [{ key: 'port', value: '8080', start: 9, end: 20 }] }],
      },
    });
  });
});
