// The images room: references, transports, the store, unpacking, building and pushing. Knows nothing of drivers or of
// containers. Other rooms import from here only.
export { isDigest, parseDigest, type Digest } from './digest.ts';
export { environmentOf, type ImageConfig } from './documents.ts';
export type { BuildOptions } from './build/build-image.ts';
export { ImageStore, type ImageStoreOptions, type Lease, type Pruned } from './image-store.ts';
export type { Accept, Acceptance, Candidate, InstallOptions } from './install.ts';
export { defaultLimits, type ImageLimits } from './limits.ts';
export { formatPlatform, machinePlatform, parsePlatform, type Platform } from './platform.ts';
export type { Progress } from './operation.ts';
export {
  formatName,
  formatReference,
  parseName,
  parseReference,
  type DockerArchiveReference,
  type DockerDaemonReference,
  type DockerReference,
  type LayoutReference,
  type Reference,
} from './reference.ts';
export type { Credentials, RegistrySettings } from './registry/settings.ts';
export { makeRoot, type StoreAccess } from './store/layout.ts';
export type { StoredImage } from './store/stored-image.ts';
