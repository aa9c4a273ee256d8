// The methods about the host itself: what it is, what isolates its drivers, how its pools are.
import { z } from 'zod';
import { keptManifest } from '../../drivers/installed/manifest.ts';
import { method, name } from './method.ts';

/** One protection, with how it is enforced here. */
const protection = () =>
  z.object({
    name: z.string(),
    enforced: z.enum(['yes', 'weaker', 'no']),
    by: z.string().describe('What enforces it, such as `cgroup v1` or `rlimit`.'),
    reason: z.string().optional().describe('Why it is weaker or missing, and how to mend that.'),
  });

const poolStatus = () =>
  z.object({
    language: z.string(),
    image: z.string().describe('The digest of the image manifest.'),
    state: z.enum(['idle', 'running', 'failing', 'stopped']),
    instances: z.int().describe('Instances that run, busy or not.'),
    busy: z.int(),
    starting: z.int(),
    wanted: z.int().describe('Instances that the scaling policy wants.'),
    waiting: z.int().describe('Requests in the queue.'),
    success: z.int().describe('Requests answered with a result, since the host started.'),
    failed: z.int().describe('Requests answered with an error, since the host started.'),
    exited: z.int().describe('Instances that have ended, since the host started.'),
    p50Ms: z.number().optional().describe('Half of the last 1,024 answers came within this time.'),
    p99Ms: z.number().optional().describe('Ninety-nine in a hundred of them did.'),
  });

const instanceStatus = () =>
  z.object({
    id: z.string().describe('A ULID.'),
    language: z.string(),
    image: z.string().describe('The digest of the image manifest.'),
    state: z
      .enum(['starting', 'idle', 'busy', 'draining', 'ended'])
      .describe(
        '`starting`: its container boots, and has no processes that are known. `draining`: its request was given up, and it is still at it.',
      ),
    pid: z.int().optional().describe("The host's process id of the container's process 1."),
    pids: z.array(z.int()).describe('The host’s process ids of all that runs in the container.'),
    requests: z.int(),
    ageMs: z.number(),
    memoryBytes: z
      .int()
      .optional()
      .describe('Of all its processes, page cache included; only where a cgroup counts it.'),
    cpuMs: z.number().optional().describe('Processor time; only where a cgroup counts it.'),
  });

export const hostMethods = {
  'host/info': method({
    summary: 'Version, runtime, and the isolation that is in force on this machine.',
    params: () => z.looseObject({}),
    result: () =>
      z.object({
        name: z.literal('babelhost'),
        version: z.string(),
        pid: z.int(),
        root: z.string(),
        node: z.string(),
        runtime: z.object({ name: z.string(), path: z.string() }),
        identity: z
          .enum(['privileged', 'granted', 'own'])
          .describe(
            'Whose ids containers have: a range of the machine’s (as root), a range by way of a user namespace of babelhost’s (granted in /etc/subuid, or for a root without CAP_SYS_ADMIN), the user’s own.',
          ),
        isolation: z.array(protection()),
        limits: z
          .record(z.string(), z.number())
          .describe('The limits in force: sizes in bytes, times in milliseconds.'),
      }),
    errors: ['runtimeMissing', 'containerFailed'],
  }),
  'host/status': method({
    summary: 'The pools, one for each language that has been asked for since the host started.',
    params: () => z.looseObject({}),
    result: () => z.object({ uptimeMs: z.number(), memoryBytes: z.int(), pools: z.array(poolStatus()) }),
    errors: [],
  }),
  'host/instances': method({
    summary: 'The driver processes that run now, and those that are being started.',
    params: () => z.looseObject({ language: name().optional() }),
    result: () => z.object({ instances: z.array(instanceStatus()) }),
    errors: [],
  }),
  'host/kill': method({
    summary: 'Ends one instance, or all, running or starting. Their requests in flight are tried once more on others.',
    params: () => z.strictObject({ id: name().optional(), all: z.literal(true).optional() }),
    result: () => z.object({ killed: z.array(z.string()) }),
    errors: ['notFound'],
  }),
  'host/languages': method({
    summary: "The installed drivers' manifests.",
    params: () => z.looseObject({}),
    result: () => z.object({ languages: z.array(keptManifest()) }),
    errors: ['storageDirty'],
  }),
};
