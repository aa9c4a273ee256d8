#!/usr/bin/env node
// The program's entry. It loads as little as it can: each command's own file loads the rest.

// Asked by scripts and version managers, often: answered without loading anything else.
const [first] = process.argv.slice(2);
if (process.argv.length === 3 && (first === '--version' || first === '-V')) {
  void import('../version.ts').then(({ version }) => {
    process.stdout.write(`${version}\n`);
  });
} else {
  void import('./program.ts')
    .then(({ run }) => run(process.argv.slice(2)))
    // Ended rather than left to end by itself: a stdin that stays open, or a socket that a host keeps, must not hold it.
    .then((status) => process.exit(status));
}
