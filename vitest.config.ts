import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';
import { isRoot, needRoot } from './test/support/privileges.ts';

/** Those that log a person in, and are for a machine of their own: scripts/machines.ts runs them. */
const needMachine = process.env['BABELHOST_TEST_MACHINE'] === '1' ? [] : ['test/container/session.test.ts'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(isRoot ? [] : needRoot), ...needMachine],
    globalSetup: ['test/support/global-setup.ts'],
    // Real containers on a loaded machine: generous, because a test that hangs is told by its own deadlines.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    pool: 'forks',
    // Vitest leaves one processor free by default: of two, half of the time would be lost.
    maxWorkers: availableParallelism(),
  },
});
