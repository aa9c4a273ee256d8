// Bundles the command line, after the compiler has made dist/ for those who use babelhost as a library:
//   dist/program/*.cjs      the program with the packages it uses, in a file for each thing that is loaded when needed
//   dist/entries/           the files that package.json names: they look at Node's version, and load the rest
//   dist/LICENSES.txt       the licences of the packages in the program
// CommonJS, because Node takes 8 ms longer to start the same as ES modules.
import { chmod, cp, glob, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';

const project = fileURLToPath(new URL('..', import.meta.url));
const dist = path.join(project, 'dist');
const results = ['program', 'entries', 'LICENSES.txt'];

/** @returns the modules in the program */
async function bundleProgram(dir: string): Promise<string[]> {
  await using bundle = await rolldown({
    input: path.join(project, 'src/cli/main.ts'),
    cwd: project,
    platform: 'node',
    // Optional, and so not part of the program. prom-client has its own use of its API.
    external: (id, importer) => id.startsWith('@opentelemetry/') && importer?.includes('/prom-client/') !== true,
    // A module that one command loads when it needs it and another has anyway: as meant.
    onLog: (level, log, write) => {
      if (log.code !== 'INEFFECTIVE_DYNAMIC_IMPORT') write(level === 'warn' ? 'error' : level, log);
    },
  });
  // Names without hashes, so that Node's compile cache has one entry for each file, whatever the version.
  const names = { entryFileNames: '[name].cjs', chunkFileNames: '[name].cjs' };
  const { output } = await bundle.write({ dir, format: 'cjs', sourcemap: true, ...names });
  return output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
}

/** The licences of the packages that the program contains. */
async function collectLicences(modules: readonly string[]): Promise<string> {
  const folders = new Set(modules.map((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? ''));
  folders.delete('');
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
 * The entries of a module for programs. An old Node cannot even parse some of what a module imports, so its version is
 * looked at before that is loaded: `import` waits for it, and `require` gets the same module.
 */
async function writeLibraryEntries(folder: string, name: string, module: string): Promise<void> {
  const exported = Object.keys((await import(pathToFileURL(path.join(dist, module)).href)) as object);
  const check = './refuse-old-node.cjs';
  await writeFile(
    path.join(folder, `${name}.js`),
    `import '${check}';\nexport const { ${exported.join(', ')} } = await import('../${module}');\n`,
  );
  await writeFile(
    path.join(folder, `${name}.cjs`),
    `'use strict';\nrequire('${check}');\nmodule.exports = require('../${module}');\n`,
  );
}

await mkdir(dist, { recursive: true });
/** Beside its place, from where it is renamed to it: as deep in the project, as source maps have relative paths. */
const made = (name: string): string => path.join(dist, `.${name}.${process.pid}`);
try {
  const modules = await bundleProgram(made('program'));
  await writeFile(made('LICENSES.txt'), await collectLicences(modules));
  const entries = made('entries');
  await cp(path.join(project, 'src/entries'), entries, { recursive: true });
  await chmod(path.join(entries, 'babelhost.cjs'), 0o755);
  await writeLibraryEntries(entries, 'index', 'index.js');
  await writeLibraryEntries(entries, 'client', 'protocol/client.js');
  for (const name of results) {
    await rm(path.join(dist, name), { recursive: true, force: true });
    await rename(made(name), path.join(dist, name));
  }
} finally {
  for (const name of results) await rm(made(name), { recursive: true, force: true });
}
