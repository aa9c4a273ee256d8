// What other rooms may use of this one.
export { ContainerRuntime } from './runtime.ts';
export type { ContainerOptions, ContainerRuntimeOptions } from './options.ts';
export type { Container, ContainerUsage } from './boot/container.ts';
export type { NamespaceType, RuntimeState } from './boot/state.ts';
export type { ExecutedProcess } from './boot/execute.ts';
export type { ContainerExit } from './boot/exit.ts';
export { isContainerId, newContainerId, type ContainerId } from './id.ts';
export { protections, type IsolationItem, type IsolationReport, type Protection } from './diagnose/isolation.ts';
export { defaultLimits, type Limits } from './limits.ts';
export { examineMachine, type Finding, type MachineReport } from './diagnose/machine.ts';
export { ContainerRegistry } from './lifecycle/registry.ts';
export type { CopiedFile } from './lifecycle/copy.ts';
export type { EntryPoint } from './lifecycle/definition.ts';
export type { LifecycleLimits } from './lifecycle/limits.ts';
export type { ProcessState } from './lifecycle/tracked-process.ts';
