// Where a registry may redirect our requests to. Registries are not trusted: they may name hosts in the internet, but none of
// this machine or its network, unless the configuration names them too.
import { lookup as resolve } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { isPublic } from './addresses.ts';
import type { Endpoint } from './configuration.ts';

/** A host that the user's reference or the registries' configuration names. */
export type NamedHost = Pick<Endpoint, 'host' | 'insecure'>;

/** Why a request is not made. */
export class TargetError extends Error {
  readonly reason: 'encryption' | 'internalAddress';
  readonly address: string | undefined;

  constructor(reason: TargetError['reason'], message: string, address?: string) {
    super(message);
    this.reason = reason;
    this.address = address;
  }
}

/** Whether a host is this machine, where http is no risk. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '');
  return name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(name);
}

/** The host of a registry's API: Docker Hub's differs from that in its names. */
export function apiHost(host: string): string {
  return host === 'docker.io' ? 'registry-1.docker.io' : host;
}

/** The named hosts, each with its port: requests may go to them wherever they are. */
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

  /** The named host with this URL's origin. */
  named(url: URL): NamedHost | undefined {
    return this.#byOrigin.get(url.origin);
  }

  /**
   * Checks a URL before a connection is made. The addresses of names are checked by `publicLookup`.
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

/** The error for addresses of which one is internal. */
function refusedOf(addresses: readonly string[]): TargetError | undefined {
  const internal = addresses.find((address) => !isPublic(address));
  if (internal === undefined) return undefined;
  return new TargetError('internalAddress', `${internal} is an address of this machine or its network`, internal);
}

/**
 * Resolves a name for a connection, which is made with the result: no later DNS answer can take its place. Fails with a
 * TargetError if any address is internal.
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
