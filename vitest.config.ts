import { configDefaults, defineConfig } from 'vitest/config';
import { isRoot, needRoot } from './test/support/privileges.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(isRoot ? [] : needRoot)],
    globalSetup: ['test/support/global-setup.ts'],
    // Real containers on a loaded machine: generous, because a test that hangs is told by its own deadlines.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    pool: 'forks',
  },
});
