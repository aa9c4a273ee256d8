// Handles the container methods: calls of the container registry, and what goes over the wire.
import { addAbortListener } from 'node:events';
import { constants } from 'node:os';
import type { EntryPoint } from '../../container/index.ts';
import { BabelhostError } from '../../base/errors.ts';
import { given } from '../../base/given.ts';
import { environmentOf } from '../../images/index.ts';
import type { containerMethods } from '../methods/container.ts';
import { untilCancelled, type Handlers } from './handler.ts';

/** How long to wait for a process's output after its end: a child that it left may hold its pipes open for ever. */
const outputWaitMs = 1000;

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
    return await containers.create({ image: digest, entryPoint, ...given({ hostname, writable, limits }) });
  },

  'container/handle': async ({ id }, _context, { containers }) => await containers.handle(id),

  'container/setEntryPoint': ({ handle, ...entryPoint }, _context, { containers }) => {
    containers.setEntryPoint(handle, given(entryPoint));
    return { notes: [] };
  },

  'container/setLimits': ({ handle, ...limits }, _context, { containers }) => {
    return { notes: containers.setLimits(handle, limits) };
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
    untilCancelled(context, services, () => services.containers.commit(handle, context.signal)),

  'container/destroy': async ({ id }, _context, { containers }) => {
    await containers.destroy(id);
    return { destroyed: id };
  },

  'container/list': async ({ status }, _context, { containers }) => ({
    containers: await containers.list(status),
  }),

  'container/config': async ({ id }, _context, { containers }) => {
    const { limits, pending, ...config } = await containers.config(id);
    return {
      ...config,
      limits: { ...limits },
      pending: pending.map(({ path, mode, size }) => ({ path, mode, sizeBytes: size })),
    };
  },

  'container/state': async ({ id }, _context, { containers }) => await containers.state(id),

  'container/copyFrom': ({ id, path }, context, services) =>
    untilCancelled(context, services, async () => {
      const { content, mode } = await services.containers.copyFrom(id, path, context.signal);
      return { path, mode, sizeBytes: content.length, content: content.toString('base64') };
    }),

  'container/exec': ({ id, args, input = '', wait, ...rest }, context, services) =>
    untilCancelled(context, services, async () => {
      const entryPoint = { args, ...given(rest) };
      const process = await services.containers.execute(id, entryPoint, Buffer.from(input), context.signal);
      if (wait !== true) return { process: process.state };
      const listener = addAbortListener(context.signal, () => {
        process.setEndReason('Its client gave it up.');
        process.kill();
      });
      await process.ended;
      listener[Symbol.dispose]();
      await process.log.settled(outputWaitMs);
      return {
        process: process.state,
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

  'container/logs': async ({ id }, _context, { containers }) => await containers.logs(id),
};

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
