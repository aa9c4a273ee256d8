// A process that changes a store without end, to be killed at it: installs one image over another, and removes. Says
// 'ready', and 'done' after each change.
// Arguments: the store's root, and references.
import { isBabelhostError } from '../../../src/base/errors.ts';
import { ImageStore, parseReference } from '../../../src/images/index.ts';
import { own } from './stores.ts';

const [root = '', ...references] = process.argv.slice(2);
const store = await ImageStore.open(root, own);
process.stdout.write('ready\n');
for (let turn = process.pid; ; turn += 1) {
  const reference = references[turn % (references.length + 1)];
  if (reference === undefined) {
    const digests = (await store.list().catch(() => [])).map(({ digest }) => digest);
    // Another process may have removed or replaced them since.
    await store.remove(digests).catch((error: unknown) => {
      if (!isBabelhostError(error, 'imageNotFound')) throw error;
    });
  } else {
    const image = await store.install(parseReference(reference), {
      accept: (_candidate, current) => ({ replaces: current.map(({ digest }) => digest) }),
    });
    await (await store.lease(image.digest).catch(() => undefined))?.release();
  }
  process.stdout.write('done\n');
}
