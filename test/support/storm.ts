// How large the storms are (kills, files, attacks): short in `npm test`; full in `npm run test:long`, the same code with larger
// numbers.

export const isLong = process.env['BABELHOST_TEST_LONG'] === '1';

/** A number of rounds, files or instants. */
export function stormOf(short: number, full: number): number {
  return isLong ? full : short;
}

/** The items that are tried: every so many in a short round, and all in the full one. */
export function sample<Item>(every: number, items: readonly Item[]): readonly Item[] {
  return isLong ? items : items.filter((_, index) => index % every === 0);
}
