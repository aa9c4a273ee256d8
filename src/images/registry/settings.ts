// The settings for registries, and their defaults.

/** A user's name and password for a registry, or a token that stands for both. Never logged, never stored. */
export type Credentials =
  | { readonly username: string; readonly password: string }
  /** What a registry's token service once gave, to get tokens with (OAuth 2 refresh token). */
  | { readonly identityToken: string }
  /** Sent to the registry as it is. */
  | { readonly registryToken: string };

export interface RegistrySettings {
  /** Files in the form of containers-registries.conf(5), version 2; the first that is there counts. */
  readonly configurationFiles: readonly string[];
  /** Folders with a folder for each `host[:port]` with its ca.crt, client.cert and client.key. */
  readonly certificateFolders: readonly string[];
  /** Files with credentials, in the form of containers-auth.json(5) or Docker's config.json; the first that has any counts. */
  readonly authenticationFiles: readonly string[];
  /** How often a request is tried again that failed for a reason that may pass. */
  readonly retries: number;
  /** The wait before the first of them, in milliseconds; it doubles each time. */
  readonly backOffMs: number;
  /** The longest wait, also where the registry asks for more (`Retry-After`), in milliseconds. */
  readonly maxBackOffMs: number;
  /** How long to wait for a connection, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** How long to wait for an answer's beginning, and for the whole of one that is no layer, in milliseconds. */
  readonly answerTimeoutMs: number;
  /** How long to wait for each next piece of an answer, in milliseconds. */
  readonly idleTimeoutMs: number;
}

/** The files that other tools read too, as they find them. */
export function defaultRegistrySettings(environment: NodeJS.ProcessEnv = process.env): RegistrySettings {
  const home = environment['HOME'] ?? '/';
  const config = environment['XDG_CONFIG_HOME'] ?? `${home}/.config`;
  const runtime = environment['XDG_RUNTIME_DIR'] ?? `/run/containers/${process.getuid?.() ?? 0}`;
  const given = (name: string) =>
    environment[name] === undefined || environment[name] === '' ? [] : [environment[name]];
  return {
    configurationFiles: [
      ...given('CONTAINERS_REGISTRIES_CONF'),
      `${config}/containers/registries.conf`,
      '/etc/containers/registries.conf',
    ],
    certificateFolders: [
      `${config}/containers/certs.d`,
      '/etc/containers/certs.d',
      `${config}/docker/certs.d`,
      '/etc/docker/certs.d',
    ],
    authenticationFiles: [
      ...given('REGISTRY_AUTH_FILE'),
      `${runtime}/containers/auth.json`,
      `${config}/containers/auth.json`,
      `${environment['DOCKER_CONFIG'] ?? `${home}/.docker`}/config.json`,
    ],
    retries: 5,
    backOffMs: 200,
    maxBackOffMs: 30_000,
    connectTimeoutMs: 10_000,
    answerTimeoutMs: 30_000,
    idleTimeoutMs: 30_000,
  };
}
