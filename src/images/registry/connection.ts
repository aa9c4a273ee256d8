// The connections to one registry host: certificates, proxies, timeouts.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { getCACertificates } from 'node:tls';
import { Agent, buildConnector, EnvHttpProxyAgent, type Dispatcher } from 'undici';
import { systemErrorCode } from '../../errors.ts';
import type { RegistrySettings } from './settings.ts';

/** Whether a host is this machine itself, where http without encryption is no risk. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '');
  return name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(name);
}

/** What certs.d has for a host. */
interface HostCertificates {
  readonly ca: string[];
  readonly cert?: string;
  readonly key?: string;
}

/** Opens connections for requests to `host`; redirects to other hosts go over them too, with their own checks. */
export async function openConnections(
  host: string,
  insecure: boolean,
  settings: RegistrySettings,
): Promise<Dispatcher> {
  const certificates = await readCertificates(host, settings.certificateFolders);
  const timeouts = {
    headersTimeout: settings.answerTimeoutMs,
    bodyTimeout: settings.idleTimeoutMs,
    // A registry that is waited for is answered by its next request, not by holding a connection.
    keepAliveTimeout: 4_000,
  };
  // As Go's tools do: what is on this machine is not reached through a proxy.
  if (isLoopback(host)) return new Agent({ ...timeouts, connect: connector(certificates, insecure, settings) });
  const tls = tlsOptions(certificates, insecure, settings);
  // Tunnels for TLS alone: proxies seldom allow any to the ports of plain http, which they forward.
  return new EnvHttpProxyAgent({ ...timeouts, connect: tls, requestTls: tls, proxyTunnel: false });
}

function tlsOptions({ ca, cert, key }: HostCertificates, insecure: boolean, settings: RegistrySettings) {
  return {
    // Those of Node, those of the system, and the host's own.
    ca: [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...ca])],
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    rejectUnauthorized: !insecure,
    timeout: settings.connectTimeoutMs,
  };
}

/** Connects with or without TLS; what TLS needs is loaded at the first connection that uses it. */
function connector(
  certificates: HostCertificates,
  insecure: boolean,
  settings: RegistrySettings,
): buildConnector.connector {
  const plain = buildConnector({ timeout: settings.connectTimeoutMs });
  let secure: buildConnector.connector | undefined;
  return (options, done) => {
    if (options.protocol !== 'https:') plain(options, done);
    else (secure ??= buildConnector(tlsOptions(certificates, insecure, settings)))(options, done);
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
