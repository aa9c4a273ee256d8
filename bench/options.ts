// What the benchmark is asked to do.
import { parseArgs } from 'node:util';

export const options = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    only: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
}).values;

export function help(names: readonly string[]): string {
  return `npm run bench -- [--only NAME,…] [--json] [--check]

How much babelhost adds to its drivers: each figure beside a baseline of the same run.

  --only NAME,…  only the measurements whose names contain one of these
  --json         the figures as JSON
  --check        exit status 1 where a target is missed
  --help         this

Measurements: ${names.join(', ')}
`;
}

/** The measurements to make, in their own order; or what is wrong with `only`: figures must not be missing silently. */
export function chosen(names: readonly string[], only: string | undefined): readonly string[] | { fault: string } {
  if (only === undefined) return names;
  const parts = only.split(',').map((part) => part.trim());
  const unknown = parts.find((part) => part === '' || !names.some((name) => name.includes(part)));
  if (unknown !== undefined) {
    return { fault: `--only: no measurement has "${unknown}" in its name; there are ${names.join(', ')}` };
  }
  return names.filter((name) => parts.some((part) => name.includes(part)));
}
