// The folders in which an ELF file wants its libraries searched, with what ld.so(8) replaces in them ("Dynamic string
// tokens"). A file of an image lies at one path here and at another there: $ORIGIN is another for each. Reads nothing.
import path from 'node:path';
import type { ElfFile } from './elf.ts';

/** An ELF file that goes into an image. */
export interface PlacedFile {
  /** Its absolute path in the image. */
  readonly to: string;
  /** The file of this machine. */
  readonly source: string;
}

/** A folder that is searched: where the loader looks in the image, and the folder of this machine that it stands for. */
export interface SearchFolder {
  readonly to: string;
  readonly source: string;
}

/**
 * What $PLATFORM may be, by class, byte order and e_machine, as readElf has them: AT_PLATFORM (getauxval(3)), or what glibc
 * puts in its place where the processor is new enough.
 */
const platforms: Readonly<Record<string, readonly string[]>> = {
  '64le-62': ['haswell', 'xeon_phi', 'x86_64'],
  '32le-3': ['i686'],
  '64le-183': ['aarch64'],
  '32le-40': ['v7l'],
};

/**
 * Replaces the tokens in a folder, or in a name with slashes. What is relative or has an unknown token is left out: the loader
 * would take it from a working folder that nobody knows, or not at all.
 * @param libFolders - what $LIB may be: the loader was built with one of them.
 */
export function expandTokens(
  text: string,
  of: PlacedFile,
  { machine }: ElfFile,
  libFolders: readonly string[],
): SearchFolder[] {
  const replaced = (origin: string, lib: string, platform: string) =>
    text.replaceAll(/\$(?:\{(\w+)\}|(\w+))/g, (token, braced: string | undefined, bare: string | undefined) => {
      const name = braced ?? bare;
      return name === 'ORIGIN' ? origin : name === 'LIB' ? lib : name === 'PLATFORM' ? platform : token;
    });
  const libs = text.includes('LIB') ? libFolders : [''];
  const named = text.includes('PLATFORM') ? (platforms[machine] ?? []) : [''];
  return libs
    .flatMap((lib) => named.map((platform) => [lib, platform] as const))
    .map((values) => ({
      to: replaced(path.dirname(of.to), ...values),
      source: replaced(path.dirname(of.source), ...values),
    }))
    .filter(({ to }) => to.startsWith('/') && !to.includes('$'))
    .map(({ to, source }) => ({ to: path.posix.normalize(to), source: path.normalize(source) }));
}
