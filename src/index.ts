// The library's face: what a program that embeds babelhost imports.
export { Container, type ContainerState, type ContainerStatus } from './library/container.ts';
export { defaultConfigFactory, type ConfigFactory, type ContainerConfig, type Process } from './library/process.ts';
export {
  isContainerId,
  newContainerId,
  type ContainerExit,
  type ContainerId,
  type Limits,
  type NamespaceType,
  type RuntimeState,
} from './container/index.ts';
export type { Driver, Installed, InstallOptions } from './drivers/installed/installed-drivers.ts';
export { BabelhostError, errorCodes, isBabelhostError, type ErrorData, type ErrorKind } from './base/errors.ts';
export { defaultRoot, Host, type HostOptions, type ServeOptions } from './host.ts';
export {
  formatName,
  formatReference,
  parseName,
  parseReference,
  type ImageConfig,
  type ImageStore,
  type Reference,
  type StoreAccess,
} from './images/index.ts';
export { createLogger, LogRelay, logLevels, type Logger, type LogLevel } from './base/log.ts';
export { Client, pathOfFileUri, uriOfPath, type RequestOptions, type WorkDoneProgress } from './protocol/client.ts';
export type { FileResult, MethodName, Params, Result } from './protocol/methods.ts';
export { Runtime, type RuntimeOptions } from './library/runtime.ts';
export { version } from './base/package.ts';
