// What each method does: a thin layer between the table's types and the rooms below. Here those of the host and of parsing;
// drivers and images have files of their own.
import { parseFiles, type FileOutcome } from '../../drivers/parse/files.ts';
import type { Instance } from '../../drivers/process/instance.ts';
import type { Pool } from '../../drivers/pool/pool.ts';
import type { ParseAnswer, ParseRequest } from '../../drivers/parse/parser.ts';
import { BabelhostError } from '../../base/errors.ts';
import { version } from '../../base/package.ts';
import { containerHandlers } from './container.ts';
import { driverHandlers } from './driver.ts';
import { rounded, type Handlers, type RequestContext } from './handler.ts';
import { imageHandlers } from './image.ts';
import { openRpcDocument } from '../openrpc.ts';
import { RawJson } from '../../json/raw-json.ts';
import { errorObject } from '../server/responses.ts';
import type { CheckedParams, FileResult, InstanceStatus, MethodName, PoolStatus, Result } from '../methods.ts';

export type { RequestContext } from './handler.ts';

/** The methods that are no part of a connection's own lifecycle: the server handles those itself. */
export type HandledMethod = Exclude<MethodName, 'initialize' | 'shutdown'>;

export const handlers: Handlers<HandledMethod> = {
  ...driverHandlers,
  ...imageHandlers,
  ...containerHandlers,

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

  parse: async (params, context, { parser }) =>
    wireAnswer(await parser.parse(parseRequest(params, context), context.signal)),

  'parse/files': async (params, context, { parser, drivers, limits }) => {
    const { client, id, span, signal, progress, sendPartialResult } = context;
    progress.begin('Parsing');
    const { root, include, exclude, uris = [], language, mode, timeoutMs } = params;
    const walked = { ...(include !== undefined && { include }), ...(exclude !== undefined && { exclude }) };
    return await parseFiles(
      parser,
      drivers,
      {
        from: root === undefined ? { uris } : { root, ...walked },
        client,
        id,
        ...(span !== undefined && { span }),
        ...(language !== undefined && { language }),
        ...(mode !== undefined && { mode }),
        ...(timeoutMs !== undefined && { timeoutMs }),
      },
      {
        // For each instance: the file that it parses, the next one in the queue, and two that are being read meanwhile.
        concurrency: 4 * limits.maximumInstances,
        signal,
        onOutcomes: async (outcomes) => {
          await sendPartialResult?.(outcomes.map(wireOutcome));
        },
        onProgress: (done, total) => {
          progress.report({ phase: 'parse', done, ...(total !== undefined && { total }) });
        },
      },
    );
  },
};

function parseRequest(params: CheckedParams<'parse'>, { client, id, span }: RequestContext): ParseRequest {
  const { content, uri = '', encoding, language, filename, mode, timeoutMs } = params;
  return {
    source: content === undefined ? { uri } : { content },
    client,
    priority: 'interactive',
    id,
    span,
    encoding,
    language,
    filename,
    mode,
    timeoutMs,
  };
}

function wireAnswer(answer: ParseAnswer): Result<'parse'> {
  const { language, digest, manifest } = answer.driver;
  const uast = new RawJson(answer.ast);
  // The tree comes last: a person who looks at the message sees the rest first. Its length comes right before it: a client
  // of ours looks for it there.
  return {
    language: answer.language,
    mode: answer.mode,
    status: answer.status,
    errors: [...answer.errors],
    driver: { language, version: manifest.version, digest },
    elapsedMs: rounded(answer.elapsedMs),
    uastBytes: uast.byteLength,
    uast,
  };
}

function wireOutcome(outcome: FileOutcome): FileResult {
  const { uri } = outcome;
  return 'answer' in outcome ? { uri, ...wireAnswer(outcome.answer) } : { uri, error: errorObject(outcome.error) };
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
