// Where the native bootstrap is. Shared, because the container room executes it and the image store locks with it.
import { accessSync, constants } from 'node:fs';
import { BabelhostError } from './errors.ts';
import { packageFile } from './package.ts';

/** The path of the compiled bootstrap: `BABELHOST_BOOTSTRAP`, or native/build/bootstrap. */
export function bootstrapPath(): string {
  return process.env['BABELHOST_BOOTSTRAP'] ?? packageFile('native/build/bootstrap');
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
  const path = bootstrapPath();
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch (error) {
    throw new BabelhostError(
      'runtimeMissing',
      `The native bootstrap is not at ${path}: run 'make -C native' in babelhost's folder (it needs a C compiler).`,
      { program: 'bootstrap', path, mend: 'make -C native' },
      { cause: error },
    );
  }
}
