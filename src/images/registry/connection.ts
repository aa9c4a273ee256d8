// The connections to one registry and to the hosts that it redirects to: certificates, proxies, timeouts.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { getCACertificates } from 'node:tls';
import { Agent, buildConnector, EnvHttpProxyAgent, type Dispatcher } from 'undici';
import { systemErrorCode } from '../../base/errors.ts';
import type { RegistrySettings } from './settings.ts';
import { isLoopback, publicLookup, type NamedHost, type Targets } from './targets.ts';

/** The certificates in certs.d for a host. */
interface HostCertificates {
  readonly ca: string[];
  readonly cert?: string;
  readonly key?: string;
}

/** How hosts are connected to. */
interface Way {
  /** Whether it is the registry itself: no other host gets the client certificate. */
  readonly own: boolean;
  /** Whether any certificate is accepted. */
  readonly insecure: boolean;
  /** Whether its name may resolve to any address. */
  readonly named: boolean;
  readonly proxied: boolean;
}

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

  /** The dispatcher for a request to `url`. */
  for(url: URL): Dispatcher {
    const named = this.#targets.named(url);
    const way: Way = {
      own: named === this.#registry,
      insecure: named?.insecure === true,
      named: named !== undefined,
      // As in Go's tools, no proxy for this machine.
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
      keepAliveTimeout: 4_000,
    };
    const plain = { timeout, ...(way.named ? {} : { lookup: publicLookup }) };
    const tls = () => ({ ...plain, ...tlsOptions(this.#certificates, way) });
    if (!way.proxied) return new Agent({ ...timeouts, connect: connector(plain, tls) });
    const connect = tls();
    // Tunnels only for TLS: proxies seldom allow them to the ports of plain http, which they forward.
    return new EnvHttpProxyAgent({ ...timeouts, connect, requestTls: connect, proxyTunnel: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy()));
  }
}

function tlsOptions({ ca, cert, key }: HostCertificates, { own, insecure }: Way) {
  return {
    ca: [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...ca])],
    ...(!own || cert === undefined || key === undefined ? {} : { cert, key }),
    rejectUnauthorized: !insecure,
  };
}

/** Connects with or without TLS, whose certificates are loaded by the first connection that needs them. */
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
