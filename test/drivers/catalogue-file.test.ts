import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { readCatalogueFile, selectDrivers, type CatalogueFile } from '../../src/drivers/catalogue-file.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const shipped = fileURLToPath(new URL('../../catalog/drivers.toml', import.meta.url));
let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder();
});

/** Reads a file with this content. */
async function read(content: string | Uint8Array, name = 'some.toml'): Promise<CatalogueFile> {
  const named = path.join(folder, name);
  await writeFile(named, content);
  return await readCatalogueFile({ named, root: folder, shipped });
}

describe('the catalogue file', () => {
  it('of the project has both of its drivers, recommended, as recipes that are there', async () => {
    const { file, entries } = await readCatalogueFile({ named: undefined, root: folder, shipped });
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
    await writeFile(path.join(root, 'catalogue.json'), '{"driver":[]}');
    expect((await readCatalogueFile({ named: undefined, root, shipped })).file).toBe(path.join(root, 'catalogue.json'));
    await writeFile(path.join(root, 'catalogue.toml'), entry('roots'));
    const places = { named: undefined, root, shipped };
    expect((await readCatalogueFile(places)).entries[0]?.language).toBe('roots');
    const named = path.join(folder, 'named.toml');
    await expect(readCatalogueFile({ ...places, named })).rejects.toMatchObject({
      kind: 'notFound',
      data: { path: named },
    });
    await writeFile(named, entry('named'));
    expect((await readCatalogueFile({ ...places, named })).entries[0]?.language).toBe('named');
  });

  it('is TOML or JSON; what it names is relative to it', async () => {
    const driver = [
      { language: 'Go', status: 'Beta', reference: 'docker://127.0.0.1:5000/go-driver:v2', platform: 'linux/arm64/v8' },
      { language: 'ruby', status: 'alpha', reference: 'oci:images/ruby:latest' },
      { language: 'java', status: 'mature', recipe: '/recipes/java' },
    ];
    const json = await read(JSON.stringify({ driver }), 'some.json');
    const toml = await read(
      driver
        .map(
          (each) =>
            `[[driver]]\n${Object.entries(each)
              .map(([key, value]) => `${key} = "${value}"\n`)
              .join('')}`,
        )
        .join(''),
    );
    expect(toml.entries).toEqual(json.entries);
    expect(json.entries).toEqual([
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
    expect(selectDrivers(json, 'all')).toHaveLength(3);
    expect(selectDrivers(json, 'recommended').map(({ language }) => language)).toEqual(['go', 'java']);
  });

  it.each([
    ['TOML that is broken', 'a.toml', '[[driver]]\nlanguage = \n', { line: 2 }, 'line 2'],
    ['JSON that is broken', 'a.json', '{\n"driver": [\n}', { line: 3 }, 'line 3'],
    ['JSON that ends early', 'a.json', '{', {}, ''],
    ['no table', 'a.json', '[]', {}, 'expected object'],
    ['a field that is not known', 'a.toml', 'drivers = []\n', {}, 'drivers'],
    [
      'no status',
      'a.toml',
      '[[driver]]\nlanguage = "x"\nrecipe = "x"\n',
      { field: 'driver[1].status' },
      'driver[1].status',
    ],
    [
      'a status of its own',
      'a.toml',
      '[[driver]]\nlanguage = "x"\nrecipe = "x"\nstatus = "good"\n',
      { field: 'driver[1].status' },
      'beta',
    ],
    [
      'neither reference nor recipe',
      'a.toml',
      '[[driver]]\nlanguage = "x"\nstatus = "beta"\n',
      { field: 'driver[1]' },
      'either',
    ],
    [
      'a language twice',
      'a.json',
      JSON.stringify({ driver: ['x', 'X'].map((language) => ({ language, status: 'beta', recipe: 'x' })) }),
      { field: 'driver[2].language' },
      'twice',
    ],
    [
      'a language that is a path',
      'a.json',
      '{"driver":[{"language":"../x","status":"beta","recipe":"x"}]}',
      { field: 'driver[1].language' },
      'word',
    ],
    [
      'a reference that is none',
      'a.json',
      '{"driver":[{"language":"x","status":"beta","reference":"UPPER CASE"}]}',
      { field: 'driver[1].reference' },
      'position',
    ],
    [
      'a platform that is none',
      'a.json',
      '{"driver":[{"language":"x","status":"beta","recipe":"x","platform":"pdp11"}]}',
      { field: 'driver[1].platform' },
      'linux/amd64',
    ],
  ])('with %s is refused, with the place', async (_what, name, content, data, words) => {
    await expect(read(content, name)).rejects.toMatchObject({
      kind: 'imageInvalid',
      message: expect.stringContaining(words) as string,
      data: { path: path.join(folder, name), ...data },
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
