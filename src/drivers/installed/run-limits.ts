// Limits of a driver's containers: from the image's manifest ([limits]), the host's configuration and the installation.
// An image is not trusted, so its manifest can only lower the defaults.
import { given } from '../../base/given.ts';
import { z } from 'zod';
import { lazy } from '../../base/lazy.ts';
import { defaultLimits, type Limits } from '../../container/index.ts';

/** A table of limits, each optional, named as in the container room's `Limits`. */
export const runLimitsSchema = lazy(() => {
  const whole = z.int().positive().optional();
  return z.strictObject({
    memoryBytes: whole,
    cpus: z.number().positive().max(100_000).optional(),
    processes: whole,
    openFiles: whole,
    fileSizeBytes: whole,
    temporaryBytes: whole,
    // The longest timer: 24 days.
    runTimeMs: z
      .int()
      .nonnegative()
      .max(2 ** 31 - 1)
      .optional(),
  });
});

export type RunLimitsTable = z.output<ReturnType<typeof runLimitsSchema>>;

/** Limits that a host gives the drivers of a language, or of all of them under `*`. */
export type ConfiguredRunLimits = Readonly<Record<string, RunLimitsTable>>;

/**
 * The limits in force: those given at the installation, before the host's for the language, before the host's for all,
 * before the defaults, which the manifest can lower.
 */
export function runLimits(
  driver: {
    readonly language: string;
    readonly limits?: RunLimitsTable;
    readonly manifest: { readonly limits?: RunLimitsTable | undefined };
  },
  configured: ConfiguredRunLimits = {},
): Limits {
  const lowered: Record<string, number> = { ...defaultLimits };
  for (const [name, value] of Object.entries(given(driver.manifest.limits ?? {}))) {
    const most = lowered[name] ?? 0;
    // No limit at all (0, of the time) is more than any.
    if (value !== 0 && (most === 0 || value < most)) lowered[name] = value;
  }
  return {
    ...(lowered as unknown as Limits),
    ...given(configured['*'] ?? {}),
    ...given(configured[driver.language] ?? {}),
    ...given(driver.limits ?? {}),
  };
}
