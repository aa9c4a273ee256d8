// The connections to one registry and to where it sends on: certificates, proxies, timeouts.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { getCACertificates } from 'node:tls';
import { Agent, buildConnector, EnvHttpProxyAgent, type Dispatcher } from 'undici';
import { systemErrorCode } from '../../base/errors.ts';
import type { RegistrySettings } from './settings.ts';
import { isLoopback, publicLookup, type NamedHost, type Targets } from './targets.ts';

/** What certs.d has for a host. */
interface HostCertificates {
  readonly ca: string[];
  readonly cert?: string;
  readonly key?: string;
}

/** How hosts are connected to. */
interface Way {
  /** Whether it is the registry itself, which alone is shown the client's certificate that is for it. */
  readonly own: boolean;
  /** Whether a certificate that nobody vouches for will do. */
  readonly insecure: boolean;
  /** Whether its name may resolve to any address. */
  readonly named: boolean;
  readonly proxied: boolean;
}

/** Connections for the requests to one registry, and for those to hosts that it sends on to. */
export class Connections implements AsyncDisposable {
  readonly #registry: NamedHost;
  readonly #targets: Targets;
  readonly #settings: RegistrySettings;
  readonly #certificates: HostCertificates;
  readonly #dispatchers = new Map<string, Dispatcher>();

  private constructor(
    registry: NamedHost,
    targets: Targets,
    settings: RegistrySettings,
    certificates: HostCertificates,
  ) {
    this.#registry = registry;
    this.#targets = targets;
    this.#settings = settings;
    this.#certificates = certificates;
  }

  static async open(registry: NamedHost, targets: Targets, settings: RegistrySettings): Promise<Connections> {
    const certificates = await readCertificates(registry.host, settings.certificateFolders);
    return new Connections(registry, targets, settings, certificates);
  }

  /** What makes the connections for a request to `url`. */
  for(url: URL): Dispatcher {
    const named = this.#targets.named(url);
    const way: Way = {
      own: named === this.#registry,
      insecure: named?.insecure === true,
      named: named !== undefined,
      // As Go's tools do: what is on this machine is not reached through a proxy.
      proxied: !isLoopback(url.host),
    };
    const key = JSON.stringify(way);
    let dispatcher = this.#dispatchers.get(key);
    if (dispatcher === undefined) {
      dispatcher = this.#dispatcher(way);
      this.#dispatchers.set(key, dispatcher);
    }
    return dispatcher;
  }

  #dispatcher(way: Way): Dispatcher {
    const { answerTimeoutMs, idleTimeoutMs, connectTimeoutMs: timeout } = this.#settings;
    const timeouts = {
      headersTimeout: answerTimeoutMs,
      bodyTimeout: idleTimeoutMs,
      // A registry that is waited for is answered by its next request, not by holding a connection.
      keepAliveTimeout: 4_000,
    };
    const plain = { timeout, ...(way.named ? {} : { lookup: publicLookup }) };
    const tls = () => ({ ...plain, ...tlsOptions(this.#certificates, way) });
    if (!way.proxied) return new Agent({ ...timeouts, connect: connector(plain, tls) });
    const connect = tls();
    // Tunnels for TLS alone: proxies seldom allow any to the ports of plain http, which they forward.
    return new EnvHttpProxyAgent({ ...timeouts, connect, requestTls: connect, proxyTunnel: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy()));
  }
}

function tlsOptions({ ca, cert, key }: HostCertificates, { own, insecure }: Way) {
  return {
    // Those of Node, those of the system, and the host's own.
    ca: [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...ca])],
    ...(!own || cert === undefined || key === undefined ? {} : { cert, key }),
    rejectUnauthorized: !insecure,
  };
}

/** Connects with or without TLS; what TLS needs is loaded at the first connection that uses it. */
function connector(
  plainOptions: buildConnector.BuildOptions,
  tls: () => buildConnector.BuildOptions,
): buildConnector.connector {
  const plain = buildConnector(plainOptions);
  let secure: buildConnector.connector | undefined;
  return (options, done) => {
    if (options.protocol !== 'https:') plain(options, done);
    else (secure ??= buildConnector(tls()))(options, done);
  };
}

async function readCertificates(host: string, folders: readonly string[]): Promise<HostCertificates> {
  const ca: string[] = [];
  let cert: string | undefined;
  let key: string | undefined;
  for (const folder of folders) {
    const own = path.join(folder, host);
    let names: string[];
    try {
      names = await readdir(own);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') continue;
      throw error;
    }
    for (const name of names.sort()) {
      const read = () => readFile(path.join(own, name), 'utf8');
      if (name.endsWith('.crt')) ca.push(await read());
      else if (name.endsWith('.cert')) cert ??= await read();
      else if (name.endsWith('.key')) key ??= await read();
    }
  }
  return { ca, ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) };
}
