// What the methods about containers do: a thin layer over the registry of the container room.
import { constants } from 'node:os';
import type { EntryPoint, LimitChanges, ProcessState } from '../../container/index.ts';
import { BabelhostError } from '../../base/errors.ts';
import { environmentOf } from '../../images/index.ts';
import type { containerMethods } from '../methods/container.ts';
import type { Result } from '../methods.ts';
import { untilCancelled, type Handlers } from './handler.ts';

/** How long what a process wrote is waited for after its end: one that it left behind may hold its pipes for ever. */
const outputPatienceMs = 1000;

export const containerHandlers: Handlers<keyof typeof containerMethods> = {
  'container/create': async (params, _context, { store, containers }) => {
    const { image, args, env, cwd, user, hostname, writable, limits } = params;
    const { digest, config } = await store.inspect(image);
    const entryPoint: EntryPoint = {
      args: args ?? [...config.entrypoint, ...config.command],
      env: { ...environmentOf(config), ...env },
      cwd: cwd ?? (config.workingDirectory === '' ? '/' : config.workingDirectory),
      user: user ?? config.user,
    };
    return await containers.create({
      image: digest,
      entryPoint,
      ...(hostname !== undefined && { hostname }),
      ...(writable !== undefined && { writable }),
      ...(limits !== undefined && { limits }),
    });
  },

  'container/handle': async ({ id }, _context, { containers }) => await containers.handle(id),

  'container/setEntryPoint': ({ handle, ...entryPoint }, _context, { containers }) => {
    containers.setEntryPoint(handle, given(entryPoint));
    return { notes: [] };
  },

  'container/setLimits': ({ handle, ...limits }, _context, { containers }) => {
    const changes: LimitChanges = limits;
    return { notes: [...containers.setLimits(handle, changes)] };
  },

  'container/setRunState': ({ handle, runState }, _context, { containers }) => {
    containers.setRunState(handle, runState);
    return { notes: [] };
  },

  'container/copyTo': ({ handle, files }, _context, { containers }) => {
    containers.copyTo(
      handle,
      files.map(({ path, content, encoding, mode }) => ({ path, mode, content: Buffer.from(content, encoding) })),
    );
    return { notes: [] };
  },

  'container/commit': ({ handle }, context, services) =>
    untilCancelled(context, services, async () => {
      const { notes, ...committed } = await services.containers.commit(handle, context.signal);
      return { ...committed, notes: [...notes] };
    }),

  'container/destroy': async ({ id }, _context, { containers }) => {
    await containers.destroy(id);
    return { destroyed: id };
  },

  'container/list': async ({ status }, _context, { containers }) => ({
    containers: (await containers.list(status)).map((summary) => ({ ...summary, args: [...summary.args] })),
  }),

  'container/config': async ({ id }, _context, { containers }) => {
    const { entryPoint, limits, pending, ...config } = await containers.config(id);
    return {
      ...config,
      entryPoint: { ...entryPoint, args: [...entryPoint.args] },
      limits: { ...limits },
      pending: pending.map(({ path, mode, size }) => ({ path, mode, sizeBytes: size })),
    };
  },

  'container/state': async ({ id }, _context, { containers }) => {
    const { processes, ...state } = await containers.state(id);
    return { ...state, processes: processes.map(wireProcess) };
  },

  'container/copyFrom': (params, context, services) =>
    untilCancelled(context, services, async () => {
      const { id, path } = params;
      const { content, mode } = await services.containers.copyFrom(id, path, context.signal);
      return { path, mode, sizeBytes: content.length, content: content.toString('base64') };
    }),

  'container/exec': (params, context, services) =>
    untilCancelled(context, services, async () => {
      const { id, args, input = '', wait, ...rest } = params;
      const started = { args, ...given(rest) };
      const process = await services.containers.execute(id, started, Buffer.from(input), context.signal);
      if (wait !== true) return { process: wireProcess(process.state) };
      const end = (): void => {
        process.blame('Its client gave it up.');
        process.kill();
      };
      context.signal.addEventListener('abort', end, { once: true });
      if (context.signal.aborted) end();
      await process.ended;
      context.signal.removeEventListener('abort', end);
      await process.log.settled(outputPatienceMs);
      return {
        process: wireProcess(process.state),
        stdout: process.log.textOf('stdout'),
        stderr: process.log.textOf('stderr'),
        droppedBytes: process.log.droppedBytes,
      };
    }),

  'container/signal': async ({ id, signal }, _context, { containers }) => {
    const number = signalNumber(signal);
    await containers.signal(id, number);
    return { signal: number };
  },

  'container/logs': async ({ id }, _context, { containers }) => {
    const { chunks, droppedBytes } = await containers.logs(id);
    return { chunks: [...chunks], droppedBytes };
  },
};

/** What is set of some members. */
function given<T extends object>(members: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [Name in keyof T]?: Exclude<T[Name], undefined>;
  };
}

function wireProcess(state: ProcessState): Result<'container/state'>['processes'][number] {
  return { ...state, args: [...state.args] };
}

function signalNumber(signal: number | string): number {
  if (typeof signal === 'number') return signal;
  const name = signal.toUpperCase();
  const names: Readonly<Record<string, number>> = constants.signals;
  const number = names[name] ?? names[`SIG${name}`];
  if (number !== undefined) return number;
  throw new BabelhostError('containerFailed', `There is no signal ${signal}: give a number, or a name like SIGTERM.`, {
    signal,
  });
}
