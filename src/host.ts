// The host: wires the rooms together. It owns the image store, the container runtime and the pools, and serves any number
// of connections over them.
import { homedir } from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { bootDriver } from './boot-driver.ts';
import { ContainerRegistry, ContainerRuntime } from './container/index.ts';
import { InstalledDrivers } from './drivers/installed/installed-drivers.ts';
import { defaultDriverLimits, type DriverLimits } from './drivers/limits.ts';
import { pipeliningFeature, requestIdFeature } from './drivers/installed/manifest.ts';
import type { Tracer } from './drivers/observer.ts';
import { Parser } from './drivers/parse/parser.ts';
import { Pools } from './drivers/pool/pools.ts';
import { runLimits, type ConfiguredRunLimits } from './drivers/installed/run-limits.ts';
import { ImageStore, makeRoot, parseDigest, type ImageLimits, type StoreAccess } from './images/index.ts';
import { BabelhostError, messageOf, systemErrorCode } from './base/errors.ts';
import { given } from './base/given.ts';
import { LogRelay, silentLogger, type Logger } from './base/log.ts';
import { readJsonBlocks } from './base/native.ts';
import { packageFile, peers } from './base/package.ts';
import type { FramingChoice } from './protocol/framing/framing.ts';
import type { HostServices } from './protocol/handlers/handler.ts';
import type { AwaitHangUp } from './protocol/server/hang-up.ts';
import { ServerConnection } from './protocol/server/server.ts';
import type { Metrics } from './telemetry/metrics.ts';

// `doctor` needs no host, which may be unable to start.
export { examineMachine, type Finding, type MachineReport } from './container/index.ts';
export { examineStore } from './examine-store.ts';

export interface HostOptions {
  /** The folder of the store. `defaultRoot()` where it is not given. */
  readonly root?: string;
  /** The OCI runtime: `runc` (the default), `crun`, or a path. */
  readonly runtime?: string;
  readonly limits?: Partial<DriverLimits>;
  /** Limits of drivers' containers, by language, or for all under `*`; those given at an installation go before them. */
  readonly driverLimits?: ConfiguredRunLimits;
  /** Protections that must be fully in force (`host/info` lists them): no container is started where one is not. */
  readonly require?: readonly string[];
  /** Languages whose drivers are started at once and kept running; one that is not installed is an error in the log. */
  readonly warm?: readonly string[];
  /** The loopback port at which metrics for Prometheus are served, 0 for any that is free; none where it is not given. */
  readonly metricsPort?: number;
  /** Bounds on what an image may make this machine do. */
  readonly imageLimits?: Partial<ImageLimits>;
  /** Whom the store is open to: its owner alone (the default), or everyone, for reading its images with other programs. */
  readonly storeAccess?: StoreAccess;
  /** The catalogue file of drivers to install; `BABELHOST_CATALOGUE` where it is not given. */
  readonly catalogueFile?: string;
  readonly logger?: Logger;
  /** Whether what drivers write to their stderr is logged, which may quote sources; else only how much. */
  readonly logDriverStderr?: boolean;
  /** Where the logger's lines are passed on from, for clients that ask for them. */
  readonly relay?: LogRelay;
}

export interface ServeOptions {
  /** The largest message taken from a client, in bytes; default 64 MiB. */
  readonly messageBytes?: number;
  /** How long requests in flight may go on after the client asked to shut down, or when the host ends, in ms; default 10,000. */
  readonly drainMs?: number;
  /** How messages lie in the streams: LSP's headers, lines of JSON, or (the default) as the client's first message does. */
  readonly framing?: FramingChoice;
  /**
   * For an output that is a pipe: resolves with true when nobody reads it any more, with false when it is aborted. Asked once
   * the client's input has ended or must wait. That a socket's reader has gone is noticed without.
   */
  readonly awaitHangUp?: AwaitHangUp;
}

/** The folder of the store where none is named: the system's for root, the user's own else (XDG Base Directory). */
export function defaultRoot(): string {
  const named = process.env['BABELHOST_ROOT'];
  if (named !== undefined && named !== '') return path.resolve(named);
  if (process.getuid?.() === 0) return '/var/lib/babelhost';
  const data = process.env['XDG_DATA_HOME'];
  return path.join(
    data !== undefined && path.isAbsolute(data) ? data : path.join(homedir(), '.local', 'share'),
    'babelhost',
  );
}

function catalogueFile(options: HostOptions): string | undefined {
  const file = options.catalogueFile ?? process.env['BABELHOST_CATALOGUE'];
  return file === undefined || file === '' ? undefined : path.resolve(file);
}

export class Host implements AsyncDisposable {
  readonly #services: HostServices & { readonly metrics?: Metrics };
  readonly #connections = new Set<ServerConnection>();
  #closing: Promise<void> | undefined;

  private constructor(services: HostServices & { readonly metrics?: Metrics }) {
    this.#services = services;
  }

  /**
   * Opens the store and prepares to boot containers.
   * @throws BabelhostError `runtimeMissing`, `digestMismatch`, `storageFull`, `containerFailed`
   */
  static async start(options: HostOptions = {}): Promise<Host> {
    const startedAt = performance.now();
    const root = options.root === undefined ? defaultRoot() : path.resolve(options.root);
    const logger = options.logger ?? silentLogger();
    const limits = { ...defaultDriverLimits, ...options.limits };
    readJsonBlocks();
    await makeRoot(root);
    const runtime = await ContainerRuntime.open({
      directory: path.join(root, 'containers'),
      logger,
      ...given({ runtime: options.runtime, require: options.require }),
    });
    let store: ImageStore | undefined;
    try {
      store = await ImageStore.open(root, {
        logger,
        owners: runtime.owners,
        ...given({ limits: options.imageLimits, access: options.storeAccess }),
      });
      const opened = store;
      const containers = await ContainerRegistry.open({
        // Not below containers/, whose content belongs to a host and is swept once that is gone.
        folder: path.join(root, 'container-definitions'),
        runtime,
        roots: { lease: (digest) => opened.lease(parseDigest(digest)) },
        logger,
      });
      const drivers = new InstalledDrivers(root, opened, logger);
      const pools = new Pools(
        limits,
        (driver) => ({
          language: driver.language,
          digest: driver.digest,
          logger,
          logStderr: options.logDriverStderr ?? false,
          requestIds: driver.manifest.features.includes(requestIdFeature),
          pipelining: driver.manifest.features.includes(pipeliningFeature),
          boot: async (id, signal) => {
            // An installation may have changed the limits and nothing else.
            const current = await drivers.lookUp([driver.language]);
            const limited = current?.digest === driver.digest ? current : driver;
            const limits = runLimits(limited, options.driverLimits);
            return await bootDriver({ store: opened, runtime, driver, limits, logger, id }, signal);
          },
        }),
        () => {
          // 5 ms of a first parse: both take processes of their own. Booting a container reports failures.
          runtime.prepare().catch(() => undefined);
        },
      );
      const [metrics, tracer] = await Promise.all([
        startMetrics(options.metricsPort, pools, logger),
        startTracer(logger),
      ]);
      const host = new Host({
        root,
        limits,
        store,
        runtime,
        containers,
        drivers,
        pools,
        parser: new Parser(drivers, pools, limits, metrics),
        ...given({ metrics, tracer }),
        logger,
        relay: options.relay ?? new LogRelay(),
        catalogueFile: catalogueFile(options),
        shippedCatalogue: packageFile('catalog/drivers.toml'),
        unwinding: new Set(),
        startedAt,
      });
      // Required protections are checked now, not at the first request.
      if ((options.require ?? []).length > 0) await runtime.prepare();
      for (const language of options.warm ?? []) void host.#warm(language);
      return host;
    } catch (error) {
      await runtime[Symbol.asyncDispose]();
      await store?.[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #warm(language: string): Promise<void> {
    const { drivers, pools, logger } = this.#services;
    try {
      pools.warm(await drivers.find(language));
    } catch (error) {
      logger.error({ err: error, language }, 'a language that is to be kept warm cannot be');
    }
  }

  /** Serves one client over a pair of byte streams. */
  serve(input: Readable, output: Writable, options: ServeOptions = {}): ServerConnection {
    const connection = new ServerConnection(this.#services, input, output, {
      messageBytes: options.messageBytes ?? 64 * 1024 * 1024,
      drainMs: options.drainMs ?? 10_000,
      framing: options.framing ?? 'auto',
      ...given({ awaitHangUp: options.awaitHangUp }),
    });
    this.#connections.add(connection);
    void connection.ended.then(() => this.#connections.delete(connection));
    return connection;
  }

  /**
   * Starts a guard before a socket is made, so that the socket is removed even after SIGKILL. Without a guard, the next host
   * to listen there removes it.
   * @returns a function to be called with the socket's absolute path in the turn in which it was made
   */
  async prepareToListen(): Promise<(file: string) => void> {
    const { runtime, logger } = this.#services;
    await runtime.prepare().catch((error: unknown) => {
      logger.warn({ err: error }, 'no guard could be started: until one is, SIGKILL would leave the socket');
    });
    return (file) => {
      runtime.removeSocketAtEnd(file);
    };
  }

  /** Ends all drivers and containers and closes the store. Resolves when nothing is left. */
  async close(): Promise<void> {
    this.#closing ??= (async () => {
      const { pools, containers, runtime, store, metrics, tracer, unwinding } = this.#services;
      await pools.close();
      await metrics?.[Symbol.asyncDispose]();
      await tracer?.close();
      await containers[Symbol.asyncDispose]();
      await runtime[Symbol.asyncDispose]();
      await Promise.all(unwinding);
      await store[Symbol.asyncDispose]();
    })();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function startMetrics(port: number | undefined, pools: Pools, logger: Logger): Promise<Metrics | undefined> {
  if (port === undefined) return undefined;
  const { Metrics } = await import('./telemetry/metrics.ts');
  const metrics = new Metrics(() => pools.all);
  const taken = await metrics.listen(port);
  logger.info({ port: taken }, `metrics are at http://127.0.0.1:${taken}/metrics`);
  return metrics;
}

/** Traces, if OpenTelemetry's environment variables ask for them (its specification, "Environment Variables"). */
async function startTracer(logger: Logger): Promise<Tracer | undefined> {
  const { env } = process;
  const endpoint = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] ?? env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? '';
  const off = env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || env['OTEL_TRACES_EXPORTER'] === 'none';
  if (endpoint === '' || off) return undefined;
  try {
    const { OpenTelemetryTracer } = await import('./telemetry/traces.ts');
    return new OpenTelemetryTracer(logger);
  } catch (error) {
    throw missingTelemetry(error) ?? error;
  }
}

/** OpenTelemetry's packages are optional peers: they are 31 MB, and most hosts send no spans. */
function missingTelemetry(error: unknown): BabelhostError | undefined {
  const code = systemErrorCode(error);
  const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
  if (!missing || !messageOf(error).includes('@opentelemetry/')) return undefined;
  const packages = Object.entries(peers).filter(([name]) => name.startsWith('@opentelemetry/'));
  const mend = `npm install ${packages.map(([name, range]) => `${name}@'${range}'`).join(' ')}`;
  return new BabelhostError(
    'runtimeMissing',
    `The environment asks for spans (OTEL_EXPORTER_OTLP_ENDPOINT), and OpenTelemetry's packages are not installed beside babelhost: install them with "${mend}", or set OTEL_SDK_DISABLED=true.`,
    { program: 'opentelemetry', mend },
    { cause: error },
  );
}
