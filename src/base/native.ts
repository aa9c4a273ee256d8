// Where the native programs are. Shared, because the container room executes them and the image store locks with one.
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { BabelhostError } from './errors.ts';
import { packageFile } from './package.ts';
import { shellWord } from './shell-word.ts';

/** The path of the compiled bootstrap: `BABELHOST_BOOTSTRAP`, or native/build/bootstrap. */
export function bootstrapPath(): string {
  const given = process.env['BABELHOST_BOOTSTRAP'];
  return given === undefined ? packageFile('native/build/bootstrap') : path.resolve(given);
}

/** The path of the compiled native/init, which lies beside the bootstrap. */
export function initProgramPath(): string {
  return path.join(path.dirname(bootstrapPath()), 'init');
}

/** The path of the compiled native/json-blocks. */
export function jsonBlocksPath(): string {
  return packageFile('native/build/json-blocks.wasm');
}

/**
 * Checks that the bootstrap is there and can be executed.
 * @throws BabelhostError `runtimeMissing`, naming the command that builds it.
 */
export function requireBootstrap(): string {
  return requireProgram('bootstrap', bootstrapPath());
}

/** The same for init, which is executed in containers. */
export function requireInit(): string {
  return requireProgram('init', initProgramPath());
}

function requireProgram(program: string, path: string): string {
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch (error) {
    const mend = `make -C ${shellWord(packageFile('native'))}`;
    throw new BabelhostError(
      'runtimeMissing',
      `The native ${program} is not at ${path}: run ${mend} (it needs a C compiler).`,
      { program, path, mend },
      { cause: error },
    );
  }
}
