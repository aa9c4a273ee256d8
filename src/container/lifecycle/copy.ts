// Files into a running container and out of it: by native/init/copy.c, executed in the container as its own user, so that no
// link of the container's can lead to anything that is not its own. The container's processes may stop or kill it: it has
// a limited time, and what it writes is counted.
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { BabelhostError } from '../../base/errors.ts';
import type { Container } from '../boot/container.ts';
import type { ExecutedProcess } from '../boot/execute.ts';
import { initPath } from '../oci/spec.ts';
import { readAtMost, type BoundedOutput } from '../guard/bounded-output.ts';
import type { LifecycleLimits } from './limits.ts';

export interface CopiedFile {
  /** Absolute, in the container. Its folder must be there. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  readonly content: Uint8Array;
}

/** The command line that receives files and then executes `args`. */
export function receivingFirst(args: readonly string[]): string[] {
  return [initPath, 'put', '--', ...args];
}

const placed = Buffer.from('placed\n');

/** Longer than what native/init/copy.c complains of, in bytes. */
export const mostComplaints = 8192;

/** The line with a file's mode, before its content. */
const mostHeader = 5;

/** Writes the records that native/init/copy.c reads. Resolves when the pipe has taken them, or when it is closed. */
export async function sendFiles(stdin: Writable, files: readonly CopiedFile[]): Promise<void> {
  for (const { path, mode, content } of files) {
    const name = Buffer.from(path);
    await write(stdin, Buffer.from(`file ${mode.toString(8)} ${content.length} ${name.length}\n`));
    await write(stdin, name);
    await write(stdin, content);
  }
  await write(stdin, Buffer.from('end\n'));
}

/** Waits until the pipe has room. Who has closed its end says why on stderr; that is no fault here. */
async function write(stdin: Writable, bytes: Uint8Array): Promise<void> {
  if (stdin.destroyed || bytes.length === 0 || stdin.write(bytes)) return;
  await Promise.race([once(stdin, 'drain').catch(() => undefined), once(stdin, 'close').catch(() => undefined)]);
}

/** Resolves with true when `stdout` says that the files are in place, with false when it ends before. */
export async function filesArePlaced(stdout: Readable): Promise<boolean> {
  for (;;) {
    const read = stdout.read(placed.length) as Buffer | null;
    if (read !== null) return placed.equals(read);
    if (stdout.readableEnded || stdout.destroyed) return false;
    const waiting = new AbortController();
    await Promise.race(
      ['readable', 'end', 'close'].map((event) =>
        once(stdout, event, { signal: waiting.signal }).catch(() => undefined),
      ),
    );
    // Listeners that nobody waits for any more would keep the stream from flowing.
    waiting.abort();
  }
}

/**
 * Does a part of a copy that others may hold up: rejects as soon as the time for it is over or it is given up. `work` then
 * goes on with nobody waiting for it.
 * @param work is given the signal of either
 * @throws BabelhostError `timeout`; the signal's reason
 */
export async function whileCopying<T>(
  { copyMs }: LifecycleLimits,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const timer = setTimeout(() => {
    over.abort(
      new BabelhostError(
        'timeout',
        `The copy was not done within ${copyMs} ms and was given up (limit: copyMs): the container may be busy, or its processes hold it up.`,
        { timeoutMs: copyMs, limit: 'copyMs' },
      ),
    );
  }, copyMs);
  const either = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]);
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => {
    aborted.reject(either.reason as Error);
  };
  either.addEventListener('abort', onAbort);
  try {
    either.throwIfAborted();
    return await Promise.race([work(either), aborted.promise]);
  } finally {
    clearTimeout(timer);
    either.removeEventListener('abort', onAbort);
  }
}

/**
 * Copies files into a running container, all or none.
 * @throws BabelhostError `notFound` where a folder is missing, `timeout`, `containerFailed` for anything else; the signal's
 * reason
 */
export async function copyIn(
  container: Container,
  user: string,
  files: readonly CopiedFile[],
  limits: LifecycleLimits,
  signal?: AbortSignal,
): Promise<void> {
  await copy(container, ['put'], user, limits, signal, async (process) => {
    const outcome = outcomeOf(process, 0, 'copied into the container');
    await sendFiles(process.stdin, files);
    process.stdin.end();
    if ((await outcome).more) throw notOurs('copied into the container');
  });
}

/**
 * Reads a file of a running container, `copyBytes` of it at the most.
 * @throws BabelhostError `notFound`; `contentTooLarge`; `timeout`; `containerFailed`; the signal's reason
 */
export async function copyOut(
  container: Container,
  user: string,
  path: string,
  limits: LifecycleLimits,
  signal?: AbortSignal,
): Promise<{ content: Buffer; mode: number }> {
  const { copyBytes: most } = limits;
  return await copy(container, ['get', String(most), path], user, limits, signal, async (process) => {
    process.stdin.end();
    const { bytes, more } = await outcomeOf(process, mostHeader + most, 'copied out of the container');
    const header = bytes.indexOf(0x0a);
    const mode = bytes.subarray(0, Math.max(header, 0)).toString('latin1');
    const content = bytes.subarray(header + 1);
    if (more || content.length > most) {
      throw new BabelhostError(
        'contentTooLarge',
        `${path} has more than ${most} bytes: it is not copied (limit: copyBytes).`,
        { path, limitBytes: most, limit: 'copyBytes' },
      );
    }
    if (!/^[0-7]{1,4}$/.test(mode)) throw notOurs('copied out of the container');
    return { content, mode: parseInt(mode, 8) };
  });
}

/** Executes native/init/copy.c and does `work` with it. Whatever becomes of that, the process is ended and not waited for. */
async function copy<T>(
  container: Container,
  args: readonly string[],
  user: string,
  limits: LifecycleLimits,
  signal: AbortSignal | undefined,
  work: (process: ExecutedProcess) => Promise<T>,
): Promise<T> {
  return await whileCopying(limits, signal, async (either) => {
    const process = await container.executeInit(args, user, either);
    const end = () => {
      void process.kill();
      for (const stream of [process.stdin, process.stdout, process.stderr]) stream.destroy();
    };
    either.addEventListener('abort', end);
    try {
      either.throwIfAborted();
      return await work(process);
    } finally {
      either.removeEventListener('abort', end);
      end();
    }
  });
}

/**
 * What a copying process wrote to stdout, once it has ended: well, or because it wrote more than that.
 * @param most bytes
 * @throws BabelhostError `notFound`, `containerFailed`
 */
async function outcomeOf(process: ExecutedProcess, most: number, what: string): Promise<BoundedOutput> {
  const read = async (stream: Readable, bound: number) => {
    const output = await readAtMost(stream, bound);
    if (output.more) void process.kill();
    return output;
  };
  const [output, complaints, exit] = await Promise.all([
    read(process.stdout, most),
    read(process.stderr, mostComplaints),
    process.exited,
  ]);
  if (output.more || (exit.reason === 'exited' && exit.code === 0)) return output;
  throw copyFailure(complaints, what);
}

/** The error where stdout has what native/init/copy.c never writes. */
function notOurs(what: string): BabelhostError {
  const reason = 'the copying process wrote what it never writes: another of the container has got into its place';
  return new BabelhostError('containerFailed', `Nothing can be trusted to be ${what}: ${reason}.`, { reason });
}

/** The error for what native/init/copy.c says on stderr. */
export function copyFailure({ bytes, more }: BoundedOutput, what: string): BabelhostError {
  const said = bytes.toString('utf8').trim().split('\n').at(-1)?.replace('init: ', '') ?? '';
  const flooded = `the copying process wrote more than ${mostComplaints} bytes to its stderr and was ended`;
  const reason = more ? flooded : said;
  const code = /\(([A-Z0-9]+)\)/.exec(reason)?.[1];
  return new BabelhostError(
    code === 'ENOENT' || code === 'ENOTDIR' ? 'notFound' : 'containerFailed',
    `Nothing was ${what}: ${reason === '' ? 'the copying process was ended' : reason}. ${copyAdvice(code, what)}`,
    { reason, ...(code !== undefined && { code }) },
  );
}

function copyAdvice(code: string | undefined, what: string): string {
  if (code === 'EISDIR')
    return 'Files are copied, not folders: pack it into a file with container/exec, and copy that.';
  if (code === 'ENOENT' && what.startsWith('copied into')) {
    return 'The folder of each file must be there: make it with container/exec.';
  }
  return "It is done with the rights of the container's own user.";
}
