// Driver images whose manifest is not where or what it should be, through `driver/install` as a client calls it: what is
// refused says why, leaves nothing, and keeps the host from nothing.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildScriptDriver } from '../support/driver-images.ts';
import { file, folder, symlink, tar, type Entry } from '../images/support/archives.ts';
import { layoutWith } from '../images/support/layouts.ts';
import { serveHost, type ServedHost } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder, temporaryFolder } from '../support/temporary-folder.ts';

const manifest = 'opt/driver/etc/manifest.toml';
const native = file('opt/driver/bin/native', '#!/bin/sh\n', { mode: 0o755 });

let scratch: string;
let host: ServedHost;
let images = 0;

beforeAll(async () => {
  scratch = await makeTemporaryFolder();
  host = serveHost(path.join(scratch, 'root'));
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await removeFolder(scratch);
});

async function imageOf(...entries: (Entry | Buffer)[]): Promise<string> {
  images += 1;
  const layout = path.join(scratch, `image-${images}`);
  await layoutWith(layout, [{ archive: tar(...entries) }]);
  return `oci:${layout}`;
}

const install = async (...entries: (Entry | Buffer)[]) =>
  host.client.request('driver/install', { reference: await imageOf(...entries) });

async function refused(kind: string, message: RegExp, ...entries: (Entry | Buffer)[]): Promise<void> {
  await expect(install(...entries)).rejects.toMatchObject({
    kind,
    message: expect.stringMatching(message) as string,
  });
  expect(await host.client.request('image/list', {})).toEqual({ images: [] });
}

/** A file of a terabyte that takes a block, as GNU tar writes it. */
const sparse = (name: string): Entry =>
  file(name, '0\n'.padEnd(512, '\0'), {
    mode: 0o755,
    pax: {
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': name,
      'GNU.sparse.realsize': String(2 ** 40),
    },
  });

describe('the manifest of an image', () => {
  it('is never a file of the host’s, whatever links lead there', async () => {
    const secret = path.join(scratch, 'secret');
    await writeFile(secret, 'language = "secret"\n');
    const absent = /cannot be read \(The image has no file \/opt\/driver\/etc\/manifest\.toml/;
    await refused('driverMalformed', absent, symlink(manifest, secret), native);
    await refused('driverMalformed', absent, symlink(manifest, `../../../../../..${secret}`), native);
    await writeFile(path.join(scratch, 'manifest.toml'), 'language = "secret"\n');
    await refused('driverMalformed', absent, symlink('opt/driver/etc', scratch), native);
    await refused('driverMalformed', absent, symlink('opt', '/proc/self/cwd'), native);
    for (const target of ['/dev/zero', '/proc/self/environ', '/']) {
      await refused('driverMalformed', absent, symlink(manifest, target), native);
    }
  });

  it('is found where links lead inside, /opt to the root included', async () => {
    const { driver } = await install(
      symlink('opt', '/'),
      file('driver/etc/real.toml', 'language = "linked"\n'),
      symlink('driver/etc/manifest.toml', '../../opt/../driver/etc/real.toml'),
      file('driver/bin/native', '', { mode: 0o755 }),
    );
    expect(driver.language).toBe('linked');
    await host.client.request('driver/remove', { language: 'linked' });
  });

  it.each<[string, string, RegExp, (Entry | Buffer)[]]>([
    ['a link to itself', 'driverMalformed', /too many symbolic links/, [symlink(manifest, 'manifest.toml')]],
    [
      'links in a circle',
      'driverMalformed',
      /too many symbolic links/,
      [symlink(manifest, 'x'), symlink('opt/driver/etc/x', 'manifest.toml')],
    ],
    ['below links in a circle', 'imageInvalid', /symbolic links/, [symlink('opt', 'opt2'), symlink('opt2', 'opt')]],
    [
      'a link to a name that no file has',
      'driverMalformed',
      /has no file/,
      [{ ...symlink(manifest, ''), pax: { linkpath: 'z'.repeat(300) } }],
    ],
    [
      'a link of a thousand names',
      'driverMalformed',
      /more than 1024 names/,
      [{ ...symlink(manifest, ''), pax: { linkpath: `${'../'.repeat(1300)}x` } }],
    ],
    ['a folder', 'driverMalformed', /should be a file/, [folder(manifest)]],
    ['a FIFO', 'driverMalformed', /has no file/, [{ name: manifest, type: '6' }]],
    ['a device', 'driverMalformed', /has no file/, [{ name: manifest, type: '3' }]],
    ['10 MB long', 'driverMalformed', /more than 262144/, [file(manifest, '#'.repeat(10 * 1024 ** 2))]],
    ['a terabyte long', 'imageInvalid', /unpackedBytes/, [sparse(manifest)]],
  ])('is refused where it is %s', async (_what, kind, message, entries) => {
    await refused(kind, message, ...entries, native);
  });

  it.each<[string, string, RegExp, (Entry | Buffer)[]]>([
    ['a link to the host’s', 'driverMalformed', /has no file/, [symlink(native.name, '/bin/sh')]],
    ['a folder', 'driverMalformed', /should be a file/, [folder(native.name)]],
    ['a FIFO', 'driverMalformed', /has no file/, [{ name: native.name, type: '6', mode: 0o755 }]],
    ['not to be executed', 'driverMalformed', /is not executable/, [file(native.name, '')]],
    ['a terabyte long', 'imageInvalid', /unpackedBytes/, [sparse(native.name)]],
  ])('is not enough where the parser is %s', async (_what, kind, message, entries) => {
    await refused(kind, message, file(manifest, 'language = "x"\n'), ...entries);
  });
});

describe('a manifest', () => {
  const written = (text: string | Buffer) => [file(manifest, text), native];
  const language = 'language = "x"\n';
  const escape = '\\u001b]0;owned\\u0007';

  it.each<[string, string | Buffer, RegExp]>([
    ['100,000 brackets', `${language}a = ${'['.repeat(100_000)}`, /nested/],
    ['100,000 tables in one another', `${language}a = ${'{a='.repeat(60_000)}1${'}'.repeat(60_000)}`, /nested/],
    ['a number of 200,000 digits', `${language}a = ${'9'.repeat(200_000)}`, /integer/],
    ['a limit that no number holds', `${language}[limits]\nmemoryBytes = 9223372036854775807\n`, /integer/],
    ['a limit that is infinite', `${language}[limits]\ncpus = inf\n`, /limits\.cpus/],
    ['a date that is none', `${language}a = 9999-99-99T99:99:99Z\n`, /date/],
    ['a date for a language', 'language = 1979-05-27\n', /language: .*string/],
    ['the same key twice', language + language, /redefine/],
    ['bytes that are no UTF-8', Buffer.from(`${language}name = "\xff\xfe"\n`, 'latin1'), /utf-8/],
    ['NUL', `${language}name = "a\0b"\n`, /control characters/],
    ['a language from `__proto__`', '[__proto__]\nlanguage = "x"\n', /language: .*undefined/],
    ['escapes in its language', `language = "x${escape}"\n`, /language: must be a word/],
    ['escapes in an alias', `${language}aliases = ["${escape}"]\n`, /aliases\.0: must be a word/],
    ['a language that reads backwards', 'language = "\\u202enohtyp"\n', /language: must be a word/],
    ['a language with what is not seen', 'language = "py\\u200bthon"\n', /language: must be a word/],
    ['a language that looks like an option', 'language = "--help"\n', /language: must be a word/],
    ['an alias that is a path', `${language}aliases = ["../../etc/passwd"]\n`, /aliases\.0: must be a word/],
    [
      'aliases without end',
      `${language}aliases = [${Array.from({ length: 30_000 }, (_, index) => `"a${index.toString(36)}"`).join()}]\n`,
      /aliases: Too big/,
    ],
  ])('is refused with %s', async (_what, text, message) => {
    await refused('driverMalformed', message, ...written(text));
  });

  it('that is wrong all over does not fill the error', async () => {
    const error = await install(...written(`${language}[limits]\n"${'k'.repeat(250_000)}" = 1\n`)).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ kind: 'driverMalformed', message: expect.stringMatching(/limits: .*…$/) as string });
    expect(JSON.stringify(error).length).toBeLessThan(5000);
  });

  it.each<[string, string]>([
    ['100,000 dots', `${language}a${'.a'.repeat(100_000)} = 1\n`],
    ['a table of 100,000 names', `${language}[a${'.a'.repeat(100_000)}]\n`],
    ['a number that is infinite', `${language}a = 1e999999999\n`],
    ['20,000 keys', language + Array.from({ length: 20_000 }, (_, index) => `k${index} = 1\n`).join('')],
    ['names of JavaScript’s own', `${language}[__proto__]\nname = "p"\n[constructor.prototype]\nname = "c"\n`],
    ['escapes in what is text', `${language}name = "${escape}"\ndocumentation = "${escape}"\n`],
  ])('with %s is a manifest like another', async (_what, text) => {
    expect((await install(...written(text))).driver).toMatchObject({ language: 'x', manifest: { aliases: [] } });
    await host.client.request('driver/remove', { language: 'x' });
    expect({}).not.toHaveProperty('name');
  });
});

describe('a language', () => {
  const answering = (word: string): string =>
    `while IFS= read -r line; do printf '{"status":"ok","errors":[],"ast":"${word}"}\\n'; done`;
  const driver = (language: string, more = '') => ({
    // What names the image's files here, and may not be any word.
    language: /^[a-z]+$/.test(language) ? language : 'other',
    script: answering(language),
    manifest: `language = "${language}"\n${more}`,
  });

  it('may be called as JavaScript calls its own things', async () => {
    const root = path.join(await temporaryFolder(), 'root');
    const languages = ['__proto__', 'constructor', 'tostring'];
    for (const [start, language] of languages.entries()) {
      // Each time anew: what the last host wrote of them is read.
      await using served = serveHost(root);
      const { drivers } = await served.client.request('driver/list', {});
      expect(drivers.map((each) => each.language)).toEqual(languages.slice(0, start));
      const reference = await buildScriptDriver(await temporaryFolder(), driver(language));
      await served.client.request('driver/install', { reference });
      const { uast } = await served.client.request('parse', { content: 'x', language });
      expect(uast).toBe(language);
    }
    await using last = serveHost(root);
    for (const language of languages) await last.client.request('driver/remove', { language });
    expect(await last.client.request('driver/list', {})).toEqual({ drivers: [] });
  });

  it('with a driver of its own is not taken by another’s alias, nor an alias by a driver that came later', async () => {
    const images = await temporaryFolder();
    await using served = serveHost(path.join(images, 'root'));
    const put = async (language: string, more = '') =>
      served.client.request('driver/install', {
        reference: await buildScriptDriver(images, driver(language, more)),
      });
    const parsedBy = async (language: string) =>
      (await served.client.request('parse', { content: 'x', language })).uast;
    await put('thief', 'aliases = ["tongue", "common"]\n');
    expect(await parsedBy('tongue')).toBe('thief');
    await put('tongue', 'aliases = ["common"]\n');
    expect(await parsedBy('tongue')).toBe('tongue');
    expect(await parsedBy('common')).toBe('thief');
  });
});
