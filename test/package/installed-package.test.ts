// What a person meets who installs the package: each command works without a compiler, and what is wrong is said.
import { spawn } from 'node:child_process';
import { appendFile, copyFile, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { findProgram } from '../../src/container/oci/runtime-program.ts';
import { cannotRun } from '../support/cannot-run.ts';
import { collect } from '../support/program.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';
import { installPackage, type InstalledPackage } from './installed-package.ts';

/** A program of somebody else's. */
const program = `import { spawn } from 'node:child_process';
import { Host, isBabelhostError, Runtime, type ErrorKind, type HostOptions } from 'babelhost';
import { Client, type RequestOptions } from 'babelhost/client';

const options: HostOptions = { root: '/nowhere', limits: { contentBytes: 1 } };
export const host: Host = await Host.start(options);
export const runtime: Runtime = await Runtime.open({ root: '/nowhere' });

const child = spawn('babelhost', ['serve', '--stdio'], { stdio: ['pipe', 'pipe', 'inherit'] });
const client = new Client(child.stdout, child.stdin);
const timed: RequestOptions = { signal: AbortSignal.timeout(1000) };
const { status, errors } = await client.request('parse', { content: 'x', language: 'typescript' }, timed);
export const first: string | undefined = status === 'ok' ? undefined : errors[0]?.message;

// @ts-expect-error -- there is no such method
await client.request('nonsense', {}).catch((error: unknown): ErrorKind | undefined => {
  return isBabelhostError(error) ? error.kind : undefined;
});
// @ts-expect-error -- a source is text
await client.request('parse', { content: 1 });
`;

const project = fileURLToPath(new URL('../..', import.meta.url));
let place: string;
let babelhost: InstalledPackage;

beforeAll(async () => {
  place = await makeTemporaryFolder();
  babelhost = await installPackage(place);
}, 300_000);

afterAll(() => removeFolder(place));

/** Lines of `parse` for a file of the folder. */
async function parse(name: string, content: string): Promise<unknown> {
  await writeFile(path.join(babelhost.folder, name), content);
  const { status, stdout, stderr } = await babelhost.run(['npx', 'babelhost', 'parse', name]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}

describe('the installed package', () => {
  it('was installed without a compiler, and without make', async () => {
    const looked = await babelhost.run(['sh', '-c', 'command -v cc gcc make']);
    expect(looked).toMatchObject({ status: 127, stdout: '' });
  });

  it('finds the machine able, with the programs that it came with', async () => {
    const { status, stdout, stderr } = await babelhost.run(['npx', 'babelhost', 'doctor']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const native = path.join(babelhost.place, 'native');
    expect(stdout).toContain(
      `${path.join(native, 'prebuilt', process.arch, 'bootstrap')}, which came with babelhost; 'make -C ${native}' builds`,
    );
    expect(stdout).toContain('babelhost can run here.');
  });

  it('installs the recommended drivers and parses with them', async () => {
    const installed = await babelhost.run(['npx', 'babelhost', 'driver', 'install', '--recommended']);
    expect(installed).toMatchObject({ status: 0, stderr: '' });
    expect(installed.stdout).toMatch(/^Installed python /m);
    expect(installed.stdout).toMatch(/^Installed javascript /m);
    expect(await parse('a.ts', 'const a: number = 1;\n')).toMatchObject({ status: 'ok', uast: { type: 'File' } });
    expect(await parse('a.py', 'a = 1\n')).toMatchObject({ status: 'ok', uast: { _type: 'Module' } });
  });

  it('has no packages of OpenTelemetry’s exporter, and says how to install them where spans are asked for', async () => {
    expect(await readdir(path.join(babelhost.folder, 'node_modules/@opentelemetry'))).toEqual(['api']);
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' };
    const { status, stderr } = await babelhost.run(['npx', 'babelhost', 'driver', 'list'], endpoint);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /install them with "npm install @opentelemetry\/api@'\S+' .*@opentelemetry\/sdk-trace@'\S+'"/,
    );
  });

  it('gives programs the same modules by import and by require', async () => {
    const script = `
      const same = [];
      for (const name of ['babelhost', 'babelhost/client']) {
        const imported = await import(name);
        const required = process.getBuiltinModule('module').createRequire(process.cwd() + '/x.js')(name);
        same.push(Object.keys(imported).every((key) => imported[key] === required[key]), typeof imported.Client);
      }
      console.log(JSON.stringify(same));`;
    const { stdout, stderr } = await babelhost.run(['node', '--input-type=module', '-e', script]);
    expect({ stdout, stderr }).toEqual({ stdout: '[true,"function",true,"function"]\n', stderr: '' });
  });
});

describe('a native program that is not the package’s', () => {
  it.each([`${process.arch}/bootstrap`, `${process.arch}/init`, 'json-blocks.wasm'])(
    'is refused, with what mends it: %s',
    async (name) => {
      const file = path.join(babelhost.place, 'native/prebuilt', name);
      const kept = path.join(place, 'kept');
      await copyFile(file, kept);
      await appendFile(file, 'x');
      const { status, stdout } = await babelhost.run(['npx', 'babelhost', 'doctor', '--json']);
      const parsed = await babelhost.run(['npx', 'babelhost', 'parse', 'a.py']);
      await copyFile(kept, file);
      expect(parsed.status).toBe(1);
      expect(parsed.stderr).toMatch(/is not what babelhost \S+ came with: .* \(digestMismatch\)/);
      expect(status).toBe(1);
      const { findings } = JSON.parse(stdout) as { findings: readonly { readonly name: string }[] };
      // The module is not in C.
      const mend = name === 'json-blocks.wasm' ? {} : { mend: `make -C ${path.join(babelhost.place, 'native')}` };
      expect(findings.find((finding) => finding.name === 'bootstrap')).toEqual({
        name: 'bootstrap',
        state: 'missing',
        found: expect.stringMatching(/is not what babelhost \S+ came with: install babelhost again/) as string,
        ...mend,
      });
    },
  );

  it('is taken where it was built from the package’s sources', async () => {
    const native = path.join(babelhost.place, 'native');
    const made = await collect(spawn('make', ['-s', '-C', native], { stdio: ['ignore', 'pipe', 'pipe'] }));
    expect(made).toEqual({ status: 0, stdout: '', stderr: '' });
    const { status, stdout } = await babelhost.run(['npx', 'babelhost', 'doctor']);
    await rm(path.join(native, 'build'), { recursive: true });
    expect(status).toBe(0);
    expect(stdout).toContain(`${path.join(native, 'build/bootstrap')}\n`);
  });
});

describe('the native programs for arm64', () => {
  it('run there', async ({ skip }) => {
    const qemu = findProgram('qemu-aarch64-static');
    if (qemu === undefined) skip(cannotRun('there is no qemu-aarch64-static'));
    const native = (name: string) => path.join(babelhost.place, 'native/prebuilt/arm64', name);
    const file = path.join(place, 'lock');
    await writeFile(file, '');
    const run = (...words: string[]) => collect(spawn(qemu ?? '', words, { stdio: ['ignore', 'pipe', 'pipe'] }));
    expect(await run(native('bootstrap'), 'lock', file)).toEqual({ status: 0, stdout: 'locked\n', stderr: '' });
    expect((await run(native('init'))).stderr).toBe('init: init needs -- and the command\n');
  });
});

describe('a Node that is too old', () => {
  const needed = manifest.engines.node.replace('>=', '');
  const sentence = new RegExp(
    `^(Error: )?babelhost needs Node\\.js ${needed} or newer, and this is Node\\.js [\\d.]+ \\(/.*\\): install a newer one`,
    'm',
  );

  it.each(['16', '18', '20'])('is told which one is needed: %s', async (release) => {
    const node = path.join(project, '.babelhost/nodes', release, 'node_modules/.bin/node');
    const bin = await babelhost.run([node, 'node_modules/.bin/babelhost', '--version']);
    expect(bin).toMatchObject({ status: 1, stdout: '' });
    expect(bin.stderr).toMatch(sentence);
    expect(bin.stderr.trim().split('\n')).toHaveLength(1);
    for (const name of ['babelhost', 'babelhost/client']) {
      const words = [
        ['--input-type=module', '-e', `import '${name}'`],
        ['-e', `require('${name}')`],
      ];
      for (const args of words) {
        const { status, stderr } = await babelhost.run([node, ...args]);
        expect(status).toBe(1);
        expect(stderr).toMatch(sentence);
      }
    }
  });
});

describe('a program in strict TypeScript', () => {
  it.each([
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ])(
    'is checked against both modules, whose declarations are checked too: module %s',
    async (module, moduleResolution) => {
      const folder = path.join(babelhost.folder, moduleResolution);
      await mkdir(folder);
      await writeFile(path.join(folder, 'program.ts'), program);
      await writeFile(path.join(folder, 'package.json'), '{ "type": "module" }');
      // Which such a program has installed itself.
      const types = path.join(babelhost.folder, 'node_modules/@types');
      await mkdir(types, { recursive: true });
      await symlink(path.join(project, 'node_modules/@types/node'), path.join(types, 'node')).catch(() => undefined);
      const options = {
        ...{ strict: true, skipLibCheck: false, noEmit: true, types: ['node'] },
        ...{ module, moduleResolution, target: 'es2024', lib: ['es2024', 'esnext.disposable'] },
      };
      const config = path.join(folder, 'tsconfig.json');
      await writeFile(config, JSON.stringify({ compilerOptions: options, files: ['program.ts'] }));
      const compiler = path.join(project, 'node_modules/typescript/bin/tsc');
      expect(await babelhost.run(['node', compiler, '-p', config])).toEqual({ status: 0, stdout: '', stderr: '' });
    },
  );
});

describe('the tarball', () => {
  it('has the sources of the native programs, and the licences of what is bundled', async () => {
    const native = await readdir(path.join(babelhost.place, 'native'));
    expect(native).toEqual(expect.arrayContaining(['Makefile', 'bootstrap.c', 'init', 'prebuilt']));
    expect(await readFile(path.join(babelhost.place, 'dist/LICENSES.txt'), 'utf8')).toMatch(/^zod \d.* \(MIT\)$/m);
  });
});
