// Runs before and after all tests: looks for what they left behind. Whatever a test starts must be gone when it ends;
// what is found here fails the run.
import { leftovers } from './leftovers.ts';

export async function setup(): Promise<() => Promise<void>> {
  const before = new Set(await leftovers());
  return async () => {
    // What is being swept at this moment by a guard has two seconds, as the program itself promises.
    const deadline = performance.now() + 2000;
    let left = (await leftovers()).filter((item) => !before.has(item));
    while (left.length > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      left = (await leftovers()).filter((item) => !before.has(item));
    }
    if (left.length > 0) throw new Error(`The tests left behind:\n  ${left.join('\n  ')}`);
  };
}
