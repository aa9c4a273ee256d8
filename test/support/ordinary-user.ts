// An ordinary user that nobody on the machine is, with a range of ids, for each process that runs tests: the kernel counts some
// things by the user, and those of one test file must not be another's.

const worker = Number(process.env['VITEST_POOL_ID'] ?? 1);

export const ordinaryId = 54_320 + worker;

/** The first of the 65,536 ids that it is granted in the settings that have a range. */
export const grantedId = 2_000_000 + 65_536 * worker;
