// Loaded into the soaked host (node --expose-gc --import). Appends its memory to the file that SOAK_MEMORY names, a line of
// JSON every SOAK_MEMORY_MS; at SIGUSR2, after a collection, also what is alive. Resident memory alone says little of that:
// an allocator keeps what has been freed.
import { appendFileSync } from 'node:fs';

const { SOAK_MEMORY: file, SOAK_MEMORY_MS: every } = process.env;
const collect = (globalThis as { gc?: () => void }).gc;
if (file === undefined || !(Number(every) > 0) || collect === undefined) {
  throw new Error('SOAK_MEMORY, SOAK_MEMORY_MS and --expose-gc are needed');
}

function append(collected: boolean): void {
  appendFileSync(file as string, `${JSON.stringify({ at: Date.now(), collected, ...process.memoryUsage() })}\n`);
}

setInterval(append, Number(every), false).unref();
process.on('SIGUSR2', () => {
  void (async () => {
    // What finalisers let go goes with the next collection.
    for (let round = 0; round < 3; round += 1) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    append(true);
  })();
});
