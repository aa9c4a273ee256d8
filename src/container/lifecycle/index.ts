// Containers as things of their own: defined, changed through handles and commits, started and stopped.
export { ContainerRegistry, type HandleInfo, type NewContainer, type RegistryOptions } from './registry.ts';
export type { Committed } from './commit.ts';
export type { ContainerStatus } from './containers.ts';
export type { CopiedFile } from './copy.ts';
export type { Definition, EntryPoint, PendingFile } from './definition.ts';
export {
  defaultLifecycleLimits,
  defaultRunLimits,
  type LifecycleLimits,
  type LimitChanges,
  type RunLimits,
} from './limits.ts';
export type { OutputChunk } from './output-log.ts';
export type { ContainerState, ContainerSummary } from './overview.ts';
export type { RootSource } from './run.ts';
export type { ProcessState, TrackedProcess } from './tracked-process.ts';
