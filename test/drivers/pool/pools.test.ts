import { expect, it } from 'vitest';
import { defaultDriverLimits } from '../../../src/drivers/limits.ts';
import { Pools } from '../../../src/drivers/pool/pools.ts';

it('begins what instances need once, at the first request, and not when all is closed', async () => {
  let begun = 0;
  const pools = (): Pools =>
    new Pools(
      defaultDriverLimits,
      () => {
        throw new Error('no driver is asked for');
      },
      () => {
        begun += 1;
      },
    );
  const used = pools();
  expect(begun).toBe(0);
  used.getReady();
  used.getReady();
  expect(begun).toBe(1);
  await used.close();
  const closed = pools();
  await closed.close();
  closed.getReady();
  expect(begun).toBe(1);
});
