// Installs two images into a new store and prints how long each took, and how much memory the process had above idle.
// The compiled library is measured, which is what is used in the field: Node would first have to take the types out of
// the sources.
import type * as Images from '../src/images/index.ts';
import { residentMegabytes } from './resident-memory.ts';

const compiled = new URL('../dist/images/index.js', import.meta.url);
const { ImageStore, parseReference } = (await import(compiled.href)) as typeof Images;

const [root = '', first = '', second = ''] = process.argv.slice(2);
await using store = await ImageStore.open(root);
// undici and what else is loaded at the first use is part of the first pull, not of being idle.
const idle = await residentMegabytes(process.pid, 'now');
const timed = async (reference: string) => {
  const began = performance.now();
  await store.install(parseReference(reference));
  return performance.now() - began;
};
const firstTook = await timed(first);
const secondTook = await timed(second);
const memory = (await residentMegabytes(process.pid, 'at most')) - idle;
process.stdout.write(JSON.stringify({ first: firstTook, second: secondTook, memory }));
