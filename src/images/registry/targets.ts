// Where a registry may send this machine's requests. A registry is a stranger: what it names must be in the internet, not
// another service of this machine or its network, unless the configuration names that too.
import { lookup as resolve } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { isPublic } from './addresses.ts';
import type { Endpoint } from './configuration.ts';

/** A host that the user's reference or the registries' configuration names. */
export type NamedHost = Pick<Endpoint, 'host' | 'insecure'>;

/** What keeps a request from being made. */
export class TargetError extends Error {
  readonly reason: 'encryption' | 'internalAddress';
  readonly address: string | undefined;

  constructor(reason: TargetError['reason'], message: string, address?: string) {
    super(message);
    this.reason = reason;
    this.address = address;
  }
}

/** Whether a host is this machine itself, where http without encryption is no risk. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '');
  return name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(name);
}

/** The host of a registry's API. Docker Hub's is not the one that its names have. */
export function apiHost(host: string): string {
  return host === 'docker.io' ? 'registry-1.docker.io' : host;
}

/** The hosts that requests may go to wherever they are, each at its own port. */
export class Targets {
  readonly #byOrigin = new Map<string, NamedHost>();

  constructor(hosts: readonly NamedHost[]) {
    for (const named of hosts) {
      for (const scheme of named.insecure || isLoopback(named.host) ? ['https', 'http'] : ['https']) {
        const origin = URL.parse(`${scheme}://${apiHost(named.host)}`)?.origin;
        if (origin !== undefined && !this.#byOrigin.has(origin)) this.#byOrigin.set(origin, named);
      }
    }
  }

  /** The host that was named with this scheme, name and port. */
  named(url: URL): NamedHost | undefined {
    return this.#byOrigin.get(url.origin);
  }

  /**
   * Checks what can be told before a connection is made; of a name, the connection's `publicLookup` tells the rest.
   * @param encrypted - whether it must be https.
   * @throws TargetError
   */
  check(url: URL, encrypted: boolean): void {
    if (this.named(url) !== undefined) return;
    if (encrypted && url.protocol === 'http:') throw new TargetError('encryption', 'it is without encryption');
    const refused = refusedOf([url.hostname.replace(/^\[|\]$/g, '')].filter((address) => isIP(address) !== 0));
    if (refused !== undefined) throw refused;
  }
}

/** The error for addresses of which one is not the internet's. */
function refusedOf(addresses: readonly string[]): TargetError | undefined {
  const internal = addresses.find((address) => !isPublic(address));
  if (internal === undefined) return undefined;
  return new TargetError('internalAddress', `${internal} is an address of this machine or its network`, internal);
}

/**
 * Resolves a name for the connection that is made with the result, so that no later answer of DNS can take its place.
 * Fails with a TargetError if any of its addresses is not the internet's.
 */
export const publicLookup: LookupFunction = (hostname, options, done) => {
  resolve(hostname, { ...options, all: true }, (error, found) => {
    const failure = error ?? refusedOf(found.map(({ address }) => address));
    if (failure !== undefined) {
      done(failure, []);
      return;
    }
    const [first] = found;
    if (options.all === true || first === undefined) done(null, found);
    else done(null, first.address, first.family);
  });
};
