// What is recorded in a handle before its commit. What could never be done is refused here, where it was asked for.
import { checkFiles } from './commit.ts';
import type { CopiedFile } from './copy.ts';
import { checkEntryPoint, checkPath, type EntryPoint } from './definition.ts';
import type { Handle } from './handle.ts';
import { changeLimits, type LifecycleLimits, type LimitChanges } from './limits.ts';

/** @throws BabelhostError `containerFailed` */
export function recordEntryPoint(handle: Handle, entryPoint: Partial<EntryPoint>): void {
  const merged = { ...handle.entryPoint, ...entryPoint };
  checkEntryPoint({ args: ['/'], env: {}, cwd: '/', user: '', ...merged });
  handle.entryPoint = merged;
}

/** @throws BabelhostError `containerFailed` */
export function recordLimits(handle: Handle, changes: LimitChanges): void {
  changeLimits({}, changes);
  handle.limits = { ...handle.limits, ...changes };
}

/** @throws BabelhostError `containerFailed` for a path; `contentTooLarge` */
export function recordFiles(handle: Handle, files: readonly CopiedFile[], limits: LifecycleLimits): void {
  for (const file of files) checkPath(file.path, 'The place of a file');
  const all = [...handle.files, ...files];
  checkFiles(
    all.map(({ content }) => content.length),
    limits,
  );
  handle.files = all;
}
