// Loaded into the soaked host (node --expose-gc --import): at SIGUSR2 it writes what is alive to the file that
// SOAK_MEMORY names. Resident memory alone says little: an allocator keeps what has been freed.
import { rename, writeFile } from 'node:fs/promises';

const file = process.env['SOAK_MEMORY'];
const collect = (globalThis as { gc?: () => void }).gc;
if (file === undefined || collect === undefined) throw new Error('SOAK_MEMORY and --expose-gc are needed');

process.on('SIGUSR2', () => {
  void (async () => {
    // What finalisers let go goes with the next collection.
    for (let round = 0; round < 3; round += 1) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const { heapUsed, external } = process.memoryUsage();
    await writeFile(`${file}.new`, JSON.stringify({ megabytes: (heapUsed + external) / 2 ** 20 }));
    await rename(`${file}.new`, file);
  })();
});
