// Tests that cannot run on a machine: each says why, and in continuous integration that is a failure.

/** @returns the reason, for Vitest's `skip`; throws it under CI=true */
export function cannotRun(reason: string): string {
  if (process.env['CI'] === 'true') throw new Error(`This test cannot run: ${reason}.`);
  return reason;
}
