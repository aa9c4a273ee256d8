// Bundles the command line, after the compiler has made dist/ for those who use babelhost as a library:
//   dist/cli/main.cjs       the entry: loads the program, with V8's bytecode
//   dist/program*.cjs       the program in a few files, with the packages it uses
//   dist/compile-cache/     V8's bytecode of it, for this machine's Node
//   dist/LICENSES.txt       the licences of the packages in it
// Loading 400 modules one by one takes five times as long as Node itself needs to start. CommonJS, because Node links an
// ES module's imports of its own modules by calling every lazy getter of theirs, which loads half of Node.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { glob, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown, type Plugin } from 'rolldown';
import { connectionOnly, loadLate, Parts, plainClock, withoutTransports } from './bundle-parts.ts';

const project = fileURLToPath(new URL('..', import.meta.url));
const source = path.join(project, 'src');
const dist = path.join(project, 'dist');
const cache = path.join(dist, 'compile-cache');

/** A CommonJS module as a function. In the file, or each start would copy its text once more to put it around. */
const asFunction = (code: string): string => `(function (exports, require, module, __filename, __dirname) {${code}\n})`;

const parts = new Parts(source);

/** Of Linguist's 830 modules detection needs these fields, in one. */
const linguistFields = ['name', 'type', 'aceMode', 'aliases', 'extensions', 'filenames', 'interpreters'];

const compactLinguist: Plugin = {
  name: 'compact-linguist',
  resolveId: (id) => (id === 'linguist-languages' ? '\0linguist-languages' : null),
  load: {
    filter: { id: /^\0linguist-languages$/ },
    async handler() {
      const languages = Object.values<object>(await import('linguist-languages'));
      return languages
        .map((each, index) => `export const l${index} = ${JSON.stringify(each, linguistFields)};`)
        .join('\n');
    },
  },
};

/** V8 keeps a source that has a character beyond Latin-1 in two bytes each, and takes long to hash it. */
function asciiOnly(code: string): string {
  return code.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** @returns the files written, and the modules in them */
async function bundleProgram(folder: string): Promise<{ files: string[]; modules: string[]; build: string }> {
  const bundle = await rolldown({
    input: { program: path.join(source, 'cli/program.ts') },
    cwd: project,
    platform: 'node',
    preserveEntrySignatures: 'allow-extension',
    plugins: [parts.plugin, compactLinguist, withoutTransports, connectionOnly, plainClock, loadLate],
    // A module that one command loads when it needs it and another has anyway: as meant.
    onLog: (level, log, write) => {
      if (log.code !== 'INEFFECTIVE_DYNAMIC_IMPORT') write(level === 'warn' ? 'error' : level, log);
    },
  });
  const { output } = await bundle.generate({
    format: 'cjs',
    entryFileNames: '[name].cjs',
    chunkFileNames: 'program-[name].cjs',
    comments: false,
    codeSplitting: {
      includeDependenciesRecursively: false,
      groups: parts.groups,
    },
  });
  const hash = createHash('sha256');
  for (const file of output) {
    if (file.type !== 'chunk') continue;
    const code = asFunction(asciiOnly(file.code));
    if (/\bimport\(/.test(code))
      throw new Error(`${file.fileName} has an import(), which scripts/bundle-entry.cjs has not`);
    hash.update(`${file.fileName} ${code.length}\n${code}`);
    await writeFile(path.join(folder, file.fileName), code);
  }
  return {
    build: hash.digest('hex').slice(0, 16),
    files: output.map(({ fileName }) => fileName),
    modules: output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : [])),
  };
}

/** The entry, with the name of this build: no bytecode of another one's files is taken for that of these. */
async function makeEntry(build: string): Promise<string> {
  const text = await readFile(path.join(project, 'scripts/bundle-entry.cjs'), 'utf8');
  return text.replace('__BUILD__', build).replace('__VERSION__', await readVersion());
}

async function readVersion(): Promise<string> {
  const text = await readFile(path.join(project, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The licences of the packages that the bundle contains. */
async function collectLicences(modules: readonly string[]): Promise<string> {
  const folders = new Set<string>();
  for (const id of [...modules, path.join(project, 'node_modules/linguist-languages/x')]) {
    const folder = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0];
    if (folder !== undefined) folders.add(folder);
  }
  const texts: string[] = [];
  for (const folder of [...folders].sort()) {
    const { name, version, license } = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8')) as {
      name: string;
      version: string;
      license?: string;
    };
    texts.push(`${'='.repeat(80)}\n${name} ${version} (${license ?? 'see below'})\n`);
    for await (const file of glob('{LICENSE,LICENCE,License,license}*', { cwd: folder })) {
      texts.push(await readFile(path.join(folder, file), 'utf8'));
    }
  }
  return texts.join('\n');
}

/**
 * Makes the bytecode of what a container is booted with. It is not run here, where there may be no right to make
 * containers, so all of its functions are compiled. In a process of its own, since that is a setting of V8's.
 */
async function compileBoot(build: string): Promise<void> {
  const [folder] = await readdir(cache);
  const text = `
    const { readFileSync, writeFileSync } = require('node:fs');
    const { Script } = require('node:vm');
    const { setFlagsFromString } = require('node:v8');
    for (const file of ['program-guard.cjs', 'program-boot.cjs']) {
      setFlagsFromString('--no-lazy');
      const source = readFileSync(${JSON.stringify(dist)} + '/' + file, 'latin1');
      const script = new Script(source, { filename: file });
      // As it was before the bytecode is written, which counts only under the flags that it was written with.
      setFlagsFromString('--lazy');
      const bytecode = Buffer.concat([Buffer.from('${build}'), script.createCachedData()]);
      writeFileSync(${JSON.stringify(path.join(cache, folder ?? ''))} + '/' + file + '.bytecode', bytecode);
    }`;
  const child = spawn(process.execPath, ['-e', text], { stdio: ['ignore', 'inherit', 'inherit'] });
  const [status] = (await once(child, 'exit')) as [number | null];
  if (status !== 0) throw new Error(`compiling what boots containers ended with status ${String(status)}`);
}

/** Runs what a host does until its first request, so that the cache has its bytecode. */
async function warm(): Promise<void> {
  const root = await mkdtemp(path.join(tmpdir(), 'babelhost-build-'));
  try {
    const entry = path.join(dist, 'cli/main.cjs');
    const child = spawn(process.execPath, [entry, 'serve', '--stdio', '--root', root, '--log-level', 'error'], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    const send = (message: object): void => {
      const text = JSON.stringify({ jsonrpc: '2.0', ...message });
      child.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    };
    send({ id: 1, method: 'initialize', params: { processId: null } });
    // Refused, as no driver is installed, but after the language has been looked for.
    send({ id: 2, method: 'parse', params: { content: '', filename: 'a.js' } });
    send({ id: 3, method: 'shutdown' });
    send({ method: 'exit' });
    const [status] = (await once(child, 'exit')) as [number | null];
    if (status !== 0) throw new Error(`the bundled host ended with status ${String(status)}`);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

const folder = await mkdtemp(path.join(dist, '.bundle-'));
let build: string;
try {
  const { files, modules, ...bundled } = await bundleProgram(folder);
  build = bundled.build;
  await writeFile(path.join(folder, 'main.cjs'), await makeEntry(build), { mode: 0o755 });
  await writeFile(path.join(folder, 'LICENSES.txt'), await collectLicences(modules));
  // By rename, each: a host that is starting finds whole files.
  for (const file of [...files, 'LICENSES.txt']) await rename(path.join(folder, file), path.join(dist, file));
  await rename(path.join(folder, 'main.cjs'), path.join(dist, 'cli/main.cjs'));
  for (const file of await readdir(dist)) {
    if (/^program.*\.cjs$/.test(file) && !files.includes(file)) await rm(path.join(dist, file));
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
await rm(cache, { recursive: true, force: true });
await warm();
await compileBoot(build);
