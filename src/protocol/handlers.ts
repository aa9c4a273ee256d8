// What each method does: a thin layer between the table's types and the rooms below.
import type { Driver as InstalledDriver } from '../drivers/catalogue.ts';
import { parseFiles, type FileOutcome } from '../drivers/files.ts';
import type { Instance } from '../drivers/instance.ts';
import type { Pool } from '../drivers/pool.ts';
import type { ParseAnswer, ParseRequest } from '../drivers/parser.ts';
import type { RequestSource } from '../drivers/request-queue.ts';
import { BabelhostError } from '../errors.ts';
import {
  formatPlatform,
  parsePlatform,
  parseReference,
  type LayoutReference,
  type StoredImage,
} from '../images/index.ts';
import { version } from '../version.ts';
import { openRpcDocument } from './openrpc.ts';
import type { ProgressReporter } from './progress.ts';
import { RawJson } from './raw-json.ts';
import { errorObject } from './responses.ts';
import type { HostServices } from './services.ts';
import type {
  CheckedParams,
  Driver,
  FileResult,
  Image,
  InstanceStatus,
  MethodName,
  PoolStatus,
  Result,
} from './methods.ts';

/** What a handler knows of the request besides its parameters. */
export interface RequestContext {
  /** The client, as the pools tell clients apart. */
  readonly client: RequestSource;
  /** Aborted when the client cancels the request or goes away. */
  readonly signal: AbortSignal;
  readonly progress: ProgressReporter;
  /** Streams to the request's partialResultToken; resolves when the client's stream has taken it. */
  readonly sendPartialResult: ((results: readonly FileResult[]) => Promise<void>) | undefined;
}

type Handler<Name extends MethodName> = (
  params: CheckedParams<Name>,
  context: RequestContext,
  services: HostServices,
) => Promise<Result<Name>> | Result<Name>;

/** The methods that are no part of a connection's own lifecycle: the server handles those itself. */
export type HandledMethod = Exclude<MethodName, 'initialize' | 'shutdown'>;

export const handlers: { readonly [Name in HandledMethod]: Handler<Name> } = {
  'rpc.discover': () => openRpcDocument(),

  'host/info': async (_params, _context, { root, limits, runtime }) => {
    const [program, { identity, items }] = await Promise.all([runtime.program(), runtime.isolation()]);
    return {
      name: 'babelhost',
      version,
      pid: process.pid,
      root,
      node: process.version,
      runtime: program,
      identity,
      isolation: [...items],
      limits: { ...limits },
    };
  },

  'host/status': (_params, _context, { pools, startedAt }) => ({
    uptimeMs: performance.now() - startedAt,
    memoryBytes: process.memoryUsage.rss(),
    pools: pools.all.map(poolStatus),
  }),

  'host/instances': async ({ language }, _context, { pools }) => {
    const chosen = pools.instances.filter(
      (instance) => language === undefined || instance.language === language.toLowerCase(),
    );
    return { instances: await Promise.all(chosen.map(instanceStatus)) };
  },

  'host/kill': async ({ id, all }, _context, { pools }) => {
    const chosen = all === true ? pools.instances : pools.instances.filter((instance) => instance.id === id);
    if (chosen.length === 0 && all !== true) {
      throw new BabelhostError('notFound', `No instance ${id ?? ''} runs; 'babelhost instances' lists those that do.`, {
        id,
      });
    }
    await Promise.all(chosen.map((instance) => instance.end()));
    return { killed: chosen.map((instance) => instance.id) };
  },

  'host/languages': async (_params, _context, { catalogue }) => ({
    languages: (await catalogue.list()).map((driver) => wireManifest(driver)),
  }),

  'driver/install': async ({ reference, language, update, platform }, { signal, progress }, { catalogue, pools }) => {
    progress.begin(`Installing ${reference}`);
    const installed = await catalogue.install(reference, {
      signal,
      onProgress: ({ phase, layer, done, total }) => {
        progress.report({
          phase,
          done,
          ...(layer !== undefined && { item: layer }),
          ...(total !== undefined && { total }),
        });
      },
      ...(language !== undefined && { language }),
      ...(update !== undefined && { update }),
      ...(platform !== undefined && { platform: parsePlatform(platform) }),
    });
    if (installed.replaced !== undefined) pools.replaced(installed.driver);
    return {
      driver: wireDriver(installed.driver),
      unchanged: installed.unchanged,
      ...(installed.replaced !== undefined && { replaced: installed.replaced }),
    };
  },

  'driver/list': async (_params, _context, { catalogue }) => ({ drivers: (await catalogue.list()).map(wireDriver) }),

  'driver/inspect': async ({ language }, _context, { catalogue }) => wireDriver(await catalogue.find(language)),

  'driver/remove': async ({ language }, _context, { catalogue, pools }) => {
    const removed = await catalogue.remove(language);
    for (const pool of pools.all) if (removed.some((digest) => digest === pool.digest)) pools.retire(pool.language);
    return { removed };
  },

  parse: async (params, { client, signal }, { parser }) =>
    wireAnswer(await parser.parse(parseRequest(params, client), signal)),

  'parse/files': async (params, { client, signal, progress, sendPartialResult }, { parser, catalogue, limits }) => {
    progress.begin('Parsing');
    const { root, include, exclude, uris = [], language, mode, timeoutMs } = params;
    const walked = { ...(include !== undefined && { include }), ...(exclude !== undefined && { exclude }) };
    return await parseFiles(
      parser,
      catalogue,
      {
        from: root === undefined ? { uris } : { root, ...walked },
        client,
        ...(language !== undefined && { language }),
        ...(mode !== undefined && { mode }),
        ...(timeoutMs !== undefined && { timeoutMs }),
      },
      {
        // As many again as there are instances wait in the queue, so that none of these is without its next.
        concurrency: 2 * limits.maximumInstances,
        signal,
        onOutcome: async (outcome) => {
          await sendPartialResult?.([wireOutcome(outcome)]);
        },
        onProgress: (done, total) => {
          progress.report({ phase: 'parse', done, ...(total !== undefined && { total }) });
        },
      },
    );
  },

  'image/build': async ({ directory, name, output }, { signal, progress }, { store }) => {
    progress.begin(`Building ${directory}`);
    const image = await store.build(directory, {
      signal,
      onProgress: ({ phase, layer, done, total }) => {
        progress.report({
          phase,
          done,
          ...(layer !== undefined && { item: layer }),
          ...(total !== undefined && { total }),
        });
      },
      ...(name !== undefined && { name }),
      ...(output !== undefined && { output: parseLayout(output) }),
    });
    return wireImage(image);
  },

  'image/list': async (_params, _context, { store }) => ({ images: (await store.list()).map(wireImage) }),

  'image/inspect': async ({ name }, _context, { store }) => wireImage(await store.inspect(name)),
};

/** A place that an image can be written to. */
function parseLayout(text: string): LayoutReference {
  const reference = parseReference(text);
  if (reference.transport === 'oci' || reference.transport === 'oci-archive') return reference;
  throw new BabelhostError(
    'imageInvalid',
    `An image cannot be built into ${text}: write it to oci:DIR[:TAG] or oci-archive:FILE, or leave it in the store.`,
    { reference: text, transport: reference.transport },
  );
}

function parseRequest(params: CheckedParams<'parse'>, client: RequestSource): ParseRequest {
  const { content, uri = '', encoding, language, filename, mode, timeoutMs } = params;
  return {
    source: content === undefined ? { uri } : { content },
    client,
    priority: 'interactive',
    ...(encoding !== undefined && { encoding }),
    ...(language !== undefined && { language }),
    ...(filename !== undefined && { filename }),
    ...(mode !== undefined && { mode }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  };
}

function wireAnswer(answer: ParseAnswer): Result<'parse'> {
  const { language, digest, manifest } = answer.driver;
  // The tree comes last: a person who looks at the message sees the rest first.
  return {
    language: answer.language,
    mode: answer.mode,
    status: answer.status,
    errors: [...answer.errors],
    driver: { language, digest, ...(manifest.version !== undefined && { version: manifest.version }) },
    elapsedMs: rounded(answer.elapsedMs),
    uast: new RawJson(answer.ast),
  };
}

function wireOutcome(outcome: FileOutcome): FileResult {
  const { uri } = outcome;
  return 'answer' in outcome ? { uri, ...wireAnswer(outcome.answer) } : { uri, error: errorObject(outcome.error) };
}

function wireManifest({ manifest }: InstalledDriver): Driver['manifest'] {
  return { ...manifest, aliases: [...manifest.aliases], features: [...manifest.features] };
}

function wireDriver(driver: InstalledDriver): Driver {
  return { ...driver, manifest: wireManifest(driver) };
}

function poolStatus(pool: Pool): PoolStatus {
  const latencies = pool.latencies.percentiles();
  return {
    language: pool.language,
    image: pool.digest,
    state: pool.state,
    ...pool.counts,
    ...(latencies !== undefined && { p50Ms: rounded(latencies.p50), p99Ms: rounded(latencies.p99) }),
  };
}

async function instanceStatus(instance: Instance): Promise<InstanceStatus> {
  const { memoryBytes, cpuMs, pids } = await instance.measure();
  return {
    id: instance.id,
    language: instance.language,
    image: instance.digest,
    state: instance.state,
    pid: instance.pid,
    pids: [...pids],
    requests: instance.requests,
    ageMs: Math.round(performance.now() - instance.startedAt),
    ...(memoryBytes !== undefined && { memoryBytes }),
    ...(cpuMs !== undefined && { cpuMs: rounded(cpuMs) }),
  };
}

/** Milliseconds to the microsecond. */
function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}

function wireImage(image: StoredImage): Image {
  const { config } = image;
  return {
    digest: image.digest,
    names: [...image.names],
    annotations: { ...image.annotations },
    sizeBytes: image.size,
    platform: formatPlatform(image.platform),
    ...(image.created !== undefined && { created: image.created }),
    user: config.user,
    workingDirectory: config.workingDirectory,
    entrypoint: [...config.entrypoint],
    command: [...config.command],
    environment: [...config.env],
    labels: { ...config.labels },
    layers: image.layers.map(({ digest, size, mediaType }) => ({ digest, sizeBytes: size, mediaType })),
  };
}
