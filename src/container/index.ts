// The container room: what other rooms may use of it.
export { ContainerRuntime, type ContainerOptions } from './runtime.ts';
export type { ContainerRuntimeOptions } from './runtime-options.ts';
export type { Container, ContainerUsage } from './container.ts';
export type { ExecutedProcess } from './execute.ts';
export type { ContainerExit } from './exit.ts';
export { isContainerId, newContainerId, type ContainerId } from './id.ts';
export { protections, type IsolationItem, type IsolationReport, type Protection } from './isolation.ts';
export { defaultLimits, type Limits } from './limits.ts';
export type { OwnerMap } from './owners.ts';
export { examineMachine, type Finding, type MachineReport } from './machine.ts';
export * from './lifecycle/index.ts';
