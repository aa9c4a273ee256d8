import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { readCatalogue, selectDrivers, type Catalogue } from '../../../src/drivers/installed/catalogue.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const shipped = fileURLToPath(new URL('../../../catalog/drivers.toml', import.meta.url));
let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder();
});

/** Reads a file with this content. */
async function read(content: string | Uint8Array): Promise<Catalogue> {
  const named = path.join(folder, 'some.toml');
  await writeFile(named, content);
  return await readCatalogue({ named, root: folder, shipped });
}

describe('the catalogue file', () => {
  it('of the project has both of its drivers, recommended, as recipes that are there', async () => {
    const { file, entries } = await readCatalogue({ named: undefined, root: folder, shipped });
    expect(file).toBe(shipped);
    expect(entries).toEqual(
      ['python', 'javascript'].map((language) => ({
        language,
        status: 'stable',
        recommended: true,
        source: { recipe: path.join(path.dirname(shipped), language) },
      })),
    );
  });

  it('is the one that is named, else the root’s, else the project’s', async () => {
    const entry = (language: string) => `[[driver]]\nlanguage = "${language}"\nstatus = "beta"\nrecipe = "x"\n`;
    const root = path.join(folder, 'root');
    await mkdir(root);
    await writeFile(path.join(root, 'catalogue.toml'), entry('roots'));
    const places = { named: undefined, root, shipped };
    expect((await readCatalogue(places)).entries[0]?.language).toBe('roots');
    const named = path.join(folder, 'named.toml');
    await expect(readCatalogue({ ...places, named })).rejects.toMatchObject({
      kind: 'notFound',
      data: { path: named },
    });
    await writeFile(named, entry('named'));
    expect((await readCatalogue({ ...places, named })).entries[0]?.language).toBe('named');
  });

  it('tells what there is; what it names is relative to it', async () => {
    const file = await read(`
      [[driver]]
      language = "Go"
      status = "Beta"
      reference = "docker://127.0.0.1:5000/go-driver:v2"
      platform = "linux/arm64/v8"
      [[driver]]
      language = "ruby"
      status = "alpha"
      reference = "oci:images/ruby:latest"
      [[driver]]
      language = "java"
      status = "mature"
      recipe = "/recipes/java"
    `);
    expect(file.entries).toEqual([
      {
        language: 'go',
        status: 'beta',
        recommended: true,
        source: { reference: 'docker://127.0.0.1:5000/go-driver:v2' },
        platform: 'linux/arm64/v8',
      },
      {
        language: 'ruby',
        status: 'alpha',
        recommended: false,
        source: { reference: `oci:${folder}/images/ruby:latest` },
      },
      { language: 'java', status: 'mature', recommended: true, source: { recipe: '/recipes/java' } },
    ]);
    expect(selectDrivers(file, 'all')).toHaveLength(3);
    expect(selectDrivers(file, 'recommended').map(({ language }) => language)).toEqual(['go', 'java']);
  });

  const complete = 'language = "x"\nstatus = "beta"\n';

  it.each([
    ['what is no TOML', '[[driver]]\nlanguage = \n', { line: 2 }, 'line 2'],
    ['a field that is not known', 'drivers = []\n', {}, 'drivers'],
    ['no list', 'driver = 1\n', { field: 'driver' }, 'array'],
    ['no status', '[[driver]]\nlanguage = "x"\nrecipe = "x"\n', { field: 'driver[1].status' }, 'driver[1].status'],
    [
      'a status of its own',
      '[[driver]]\nlanguage = "x"\nrecipe = "x"\nstatus = "good"\n',
      { field: 'driver[1].status' },
      'beta',
    ],
    ['neither reference nor recipe', `[[driver]]\n${complete}`, { field: 'driver[1]' }, 'either'],
    ['both of them', `[[driver]]\n${complete}recipe = "x"\nreference = "x"\n`, { field: 'driver[1]' }, 'either'],
    ['a language twice', `[[driver]]\n${complete}recipe = "x"\n`.repeat(2), { field: 'driver[2].language' }, 'twice'],
    [
      'a language that is a path',
      '[[driver]]\nlanguage = "../x"\nstatus = "beta"\nrecipe = "x"\n',
      { field: 'driver[1].language' },
      'word',
    ],
    [
      'a reference that is none',
      `[[driver]]\n${complete}reference = "UPPER CASE"\n`,
      { field: 'driver[1].reference' },
      'position',
    ],
    [
      'a platform that is none',
      `[[driver]]\n${complete}recipe = "x"\nplatform = "pdp11"\n`,
      { field: 'driver[1].platform' },
      'linux/amd64',
    ],
  ])('with %s is refused, with the place', async (_what, content, data, words) => {
    await expect(read(content)).rejects.toMatchObject({
      kind: 'imageInvalid',
      message: expect.stringContaining(words) as string,
      data: { path: path.join(folder, 'some.toml'), ...data },
    });
  });

  it('that is no text, or too long, is refused', async () => {
    await expect(read(Buffer.from([0xff, 0xfe]))).rejects.toMatchObject({ kind: 'imageInvalid' });
    await expect(read('#'.repeat(1024 * 1024 + 1))).rejects.toMatchObject({ kind: 'imageInvalid' });
  });

  it('from which nothing is selected says so', async () => {
    const empty = await read('');
    expect(() => selectDrivers(empty, 'all')).toThrow(/nothing to install.*lists no driver/);
    const modest = await read('[[driver]]\nlanguage = "x"\nstatus = "alpha"\nrecipe = "x"\n');
    expect(() => selectDrivers(modest, 'recommended')).toThrow(/recommends none/);
    expect(selectDrivers(modest, 'all')).toHaveLength(1);
  });
});
