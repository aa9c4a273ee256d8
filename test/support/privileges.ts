// Tests that only root can run: they take other users' ids, fill file systems, make system calls fail, or unpack what an
// ordinary user cannot remove. An ordinary user's run leaves them out and says so; continuous integration must not.

export const isRoot = process.getuid?.() === 0;

/** Globs of the test files that need root. */
export const needRoot = [
  'test/cli/doctor.test.ts',
  'test/cli/socket-path.test.ts',
  'test/container/!(user).test.ts',
  'test/container/*/*.test.ts',
  'test/images/{build,equality,registry,sharing}.test.ts',
  'test/native/faults.test.ts',
];

/** Says what is left out and why. @throws in continuous integration (CI=true), where nothing may be */
export function announceLeftOut(): void {
  if (isRoot) return;
  const sentence = `These tests need root and are left out: ${needRoot.join(', ')}. 'sudo npm test' runs all of them.`;
  if (process.env['CI'] === 'true') throw new Error(sentence);
  process.stderr.write(`${sentence}\n`);
}
