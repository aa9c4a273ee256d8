// The methods about the host itself: what it is, its pools and their instances.
import { given } from '../../base/given.ts';
import { BabelhostError } from '../../base/errors.ts';
import { version } from '../../base/package.ts';
import type { Pool } from '../../drivers/pool/pool.ts';
import type { StartingInstance } from '../../drivers/pool/starting-instance.ts';
import type { Instance } from '../../drivers/process/instance.ts';
import type { InstanceStatus, PoolStatus } from '../methods.ts';
import type { hostMethods } from '../methods/host.ts';
import type { Handlers, Sent } from './handler.ts';

export const hostHandlers: Handlers<keyof typeof hostMethods> = {
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
      isolation: items,
      limits: { ...limits },
    };
  },

  'host/status': (_params, _context, { pools, startedAt }) => ({
    uptimeMs: performance.now() - startedAt,
    memoryBytes: process.memoryUsage.rss(),
    pools: pools.all.map(poolStatus),
  }),

  'host/instances': async ({ language }, _context, { pools }) => {
    const asked = (instance: { readonly language: string }): boolean =>
      language === undefined || instance.language === language.toLowerCase();
    const starting = pools.starting.filter(asked).map(startingStatus);
    return { instances: [...(await Promise.all(pools.instances.filter(asked).map(instanceStatus))), ...starting] };
  },

  'host/kill': async ({ id, all }, _context, { pools }) => {
    const instances = [...pools.instances, ...pools.starting];
    const chosen = all === true ? instances : instances.filter((instance) => instance.id === id);
    if (chosen.length === 0 && all !== true) {
      throw new BabelhostError('notFound', `No instance ${id ?? ''} runs; 'babelhost instances' lists those that do.`, {
        id,
      });
    }
    await Promise.all(chosen.map((instance) => instance.end()));
    return { killed: chosen.map((instance) => instance.id) };
  },

  'host/languages': async (_params, _context, { drivers }) => ({
    languages: (await drivers.list()).map(({ manifest }) => manifest),
  }),
};

function poolStatus({ language, digest, state, counts, latencies }: Pool): PoolStatus {
  return {
    language,
    image: digest,
    state,
    ...counts,
    ...(latencies !== undefined && { p50Ms: toMicrosecond(latencies.p50), p99Ms: toMicrosecond(latencies.p99) }),
  };
}

async function instanceStatus(instance: Instance): Promise<Sent<InstanceStatus>> {
  const { memoryBytes, cpuMs, pids } = await instance.measure();
  const { id, language, digest, state, pid, requests, startedAt } = instance;
  return {
    id,
    language,
    image: digest,
    state,
    pid,
    pids,
    requests,
    ageMs: Math.round(performance.now() - startedAt),
    ...given({ memoryBytes, cpuMs: cpuMs === undefined ? undefined : toMicrosecond(cpuMs) }),
  };
}

/** What is known of an instance before it runs. */
function startingStatus({ id, language, digest, state, startedAt }: StartingInstance): InstanceStatus {
  const ageMs = Math.round(performance.now() - startedAt);
  return { id, language, image: digest, state, pids: [], requests: 0, ageMs };
}

function toMicrosecond(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
