// Paths that a person gave as arguments, as bytes. Node decodes arguments and the working folder as UTF-8, and puts U+FFFD
// for what is none; Linux has the bytes in /proc.
import { readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { textOfPath } from '../base/byte-paths.ts';

const lost = '\ufffd';

/** Arguments with their absolute paths. */
export function absolutePaths(args: readonly string[]): { readonly argument: string; readonly path: Buffer }[] {
  const given = args.some((argument) => argument.includes(lost)) ? givenArguments() : [];
  return args.map((argument) => {
    // The same text may stand for several names, which come in the same order.
    const at = argument.includes(lost) ? given.findIndex((bytes) => bytes.toString() === argument) : -1;
    const [bytes] = at === -1 ? [Buffer.from(argument)] : given.splice(at, 1);
    const absolute = path.posix.resolve(workingFolder(), bytes?.toString('latin1') ?? '');
    return { argument, path: Buffer.from(absolute, 'latin1') };
  });
}

/** A path as a person would write it from here. */
export function pathFromHere(absolute: Buffer): string {
  const relative = path.posix.relative(workingFolder(), absolute.toString('latin1'));
  if (relative === '') return '.';
  return textOfPath(relative.startsWith('..') ? absolute : Buffer.from(relative, 'latin1'));
}

/** Bytes read as Latin-1, as paths are taken apart. */
function workingFolder(): string {
  const folder = process.cwd();
  const bytes = folder.includes(lost) ? readlinkSync('/proc/self/cwd', 'buffer') : Buffer.from(folder);
  return bytes.toString('latin1');
}

function givenArguments(): Buffer[] {
  const text = readFileSync('/proc/self/cmdline', 'latin1');
  const words = text.replace(/\0$/, '').split('\0');
  return words.slice(2 - process.argv.length).map((word) => Buffer.from(word, 'latin1'));
}
