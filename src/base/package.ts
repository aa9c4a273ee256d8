// The package: its version, and where its files are that are not compiled. Found by its own name ("exports" in
// package.json), as src/, dist/ and the bundle lie at different depths.
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);
const manifest = require.resolve('babelhost/package.json');

export const { version, peerDependencies: peers } = require(manifest) as {
  readonly version: string;
  /** The packages that may be installed beside this one, with their versions. */
  readonly peerDependencies: Readonly<Record<string, string>>;
};

/** The path of a file, given by its path in the package. */
export function packageFile(name: string): string {
  return path.join(path.dirname(manifest), name);
}
