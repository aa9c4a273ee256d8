// Where the native programs are, and whether they are what the package came with. Shared, because the container room
// executes them and the image store locks with one.
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { BabelhostError } from './errors.ts';
import { given } from './given.ts';
import { lazy } from './lazy.ts';
import { packageFile, version } from './package.ts';
import { shellWord } from './shell-word.ts';

const prebuilt = packageFile('native/prebuilt');

/**
 * The path of the bootstrap: `BABELHOST_BOOTSTRAP`; else what was built from source here (native/build); else what the
 * package came with for this processor.
 */
export function bootstrapPath(): string {
  const given = process.env['BABELHOST_BOOTSTRAP'];
  if (given !== undefined) return path.resolve(given);
  return builtHere('bootstrap') ?? path.join(prebuilt, process.arch, 'bootstrap');
}

/** The path of native/init, which lies beside the bootstrap. */
export function initProgramPath(): string {
  return path.join(path.dirname(bootstrapPath()), 'init');
}

/**
 * Reads the compiled native/json-blocks, once for the process. Called at a start too, where nothing is read with it yet: at its
 * first use an error would be taken for a fault of the message.
 * @throws BabelhostError `runtimeMissing`, `digestMismatch`
 */
export const readJsonBlocks = lazy((): Buffer<ArrayBuffer> => {
  const file = builtHere('json-blocks.wasm') ?? path.join(prebuilt, 'json-blocks.wasm');
  try {
    const bytes = readFileSync(file);
    checkDigest(file, bytes);
    return bytes;
  } catch (error) {
    if (error instanceof BabelhostError) throw error;
    const mend = 'npm run build';
    throw new BabelhostError(
      'runtimeMissing',
      `The module that checks drivers' answers is not at ${file}: install babelhost again, or run '${mend}' in a clone of it.`,
      { program: 'json-blocks', path: file, mend },
      { cause: error },
    );
  }
});

/**
 * Checks that the bootstrap is there, can be executed, and is the package's where it came with it.
 * @throws BabelhostError `runtimeMissing`, `digestMismatch`; both name the command that builds it.
 */
export function requireBootstrap(): string {
  return requireProgram('bootstrap', bootstrapPath());
}

/** The same for init, which is executed in containers. */
export function requireInit(): string {
  return requireProgram('init', initProgramPath());
}

/** The command that builds both from source, wherever one is. They then take the place of those that came with the package. */
const buildCommand = `make -C ${shellWord(packageFile('native'))}`;

/** Where it comes from, for a person: of one that came with the package, also how to have another. */
export function originOfBootstrap(): string {
  return path.relative(prebuilt, bootstrapPath()).startsWith('..')
    ? ''
    : `, which came with babelhost; '${buildCommand}' builds it from source`;
}

function requireProgram(program: string, file: string): string {
  try {
    accessSync(file, constants.X_OK);
  } catch (error) {
    throw new BabelhostError(
      'runtimeMissing',
      `The native ${program} is not at ${file}: install babelhost again, or build it with '${buildCommand}' (it needs a C compiler).`,
      { program, path: file, mend: buildCommand },
      { cause: error },
    );
  }
  if (!checked.has(file)) checkDigest(file, readFileSync(file), buildCommand);
  return file;
}

function builtHere(name: string): string | undefined {
  const file = packageFile(`native/build/${name}`);
  return existsSync(file) ? file : undefined;
}

/** The files that have been found to be the package's own: once for each process, as it takes 2 ms. */
const checked = new Set<string>();

/** What sha256sum(1) wrote when the package was made, by the files' names. */
function readDigests(): ReadonlyMap<string, string> {
  const file = path.join(prebuilt, 'SHA256SUMS');
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  return new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]));
}

/**
 * Checks a file of the package against the digests that were written when it was made; others pass.
 * @param mend - the command that makes another
 */
function checkDigest(file: string, bytes: Uint8Array, mend?: string): void {
  const name = path.relative(prebuilt, file);
  if (name.startsWith('..')) return;
  const expected = readDigests().get(name);
  const found = createHash('sha256').update(bytes).digest('hex');
  if (found !== expected) {
    throw new BabelhostError(
      'digestMismatch',
      `${file} is not what babelhost ${version} came with: install babelhost again${mend === undefined ? '' : `, or build it from source with '${mend}' (it needs a C compiler)`}.`,
      { path: file, expected: expected ?? null, found, ...given({ mend }) },
    );
  }
  checked.add(file);
}
