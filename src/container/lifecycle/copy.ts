// Copies files into a running container and out of it, by native/init/copy.c: executed in the container as its user, so
// that links there lead only to its own files. The container's processes may stop or kill it, or take its place: it has a
// limited time, and what it writes is bounded.
import { addAbortListener } from 'node:events';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BabelhostError } from '../../base/errors.ts';
import type { Container } from '../boot/container.ts';
import type { ExecutedProcess } from '../boot/execute.ts';
import { initPath } from '../oci/spec.ts';
import { readAtMost, type BoundedOutput } from '../guard/bounded-output.ts';
import type { LifecycleLimits } from './limits.ts';
import type { Run } from './run.ts';

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

/** More than native/init/copy.c writes to stderr, in bytes. */
const mostComplaints = 8192;

/** The line with a file's mode, before its content. */
const mostHeader = 5;

/** Writes the records that native/init/copy.c reads. A reader that closes its end says why on stderr: no error here. */
async function sendFiles(stdin: Writable, files: readonly CopiedFile[]): Promise<void> {
  const records = files.flatMap(({ path, mode, content }) => {
    const name = Buffer.from(path);
    return [Buffer.from(`file ${mode.toString(8)} ${content.length} ${name.length}\n`), name, content];
  });
  records.push(Buffer.from('end\n'));
  await pipeline(Readable.from(records), stdin, { end: false }).catch(() => undefined);
}

/** Resolves with true when `stdout` says that the files are in place, and with false if it ends before. */
async function filesArePlaced(stdout: Readable): Promise<boolean> {
  let read = Buffer.alloc(0);
  try {
    for await (const chunk of stdout.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      read = Buffer.concat([read, chunk]);
      if (read.length < placed.length) continue;
      // The rest is the command's own.
      stdout.unshift(read.subarray(placed.length));
      return placed.equals(read.subarray(0, placed.length));
    }
  } catch {
    // A pipe that breaks has ended.
  }
  return false;
}

/**
 * Does a part of a copy that the container may hold up. Rejects as soon as the time limit is over or the signal is
 * aborted; `work`, whose signal is aborted then too, goes on without being waited for.
 * @throws BabelhostError `timeout`; the signal's reason
 */
async function whileCopying<T>(
  { copyMs }: LifecycleLimits,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const timeout = new AbortController();
  const timer = setTimeout(() => {
    const message = `The copy was not done within ${copyMs} ms and was given up (limit: copyMs): the container may be busy, or its processes hold it up.`;
    timeout.abort(new BabelhostError('timeout', message, { timeoutMs: copyMs, limit: 'copyMs' }));
  }, copyMs);
  const either = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]);
  const aborted = Promise.withResolvers<never>();
  const listener = addAbortListener(either, () => {
    aborted.reject(either.reason as Error);
  });
  try {
    return await Promise.race([work(either), aborted.promise]);
  } finally {
    clearTimeout(timer);
    listener[Symbol.dispose]();
  }
}

/**
 * Copies files into a container whose command line is that of receivingFirst, before its command is executed.
 * @throws as copyIn
 */
export async function placeFiles(
  { stdin, stdout, stderr }: Container,
  files: readonly CopiedFile[],
  limits: LifecycleLimits,
  signal?: AbortSignal,
): Promise<void> {
  await whileCopying(limits, signal, async () => {
    const [done] = await Promise.all([filesArePlaced(stdout), sendFiles(stdin, files)]);
    if (done) return;
    throw copyFailure(await readAtMost(stderr, mostComplaints), 'copied into the container, and it was not started');
  });
}

/**
 * Copies files into a running container, all or none.
 * @throws BabelhostError `notFound` if a folder is missing, `timeout`, `containerFailed` for anything else; the signal's
 * reason
 */
export async function copyIn(run: Run, files: readonly CopiedFile[], signal?: AbortSignal): Promise<void> {
  await copy(run, ['put'], signal, async (process) => {
    const what = 'copied into the container';
    const sent = sendFiles(process.stdin, files).then(() => process.stdin.end());
    const [{ more }] = await Promise.all([outputOf(process, 0, what), sent]);
    if (more) throw notFromUs(what);
  });
}

/**
 * Reads a file of a running container, up to `copyBytes`.
 * @throws BabelhostError `notFound`; `contentTooLarge`; `timeout`; `containerFailed`; the signal's reason
 */
export async function copyOut(
  run: Run,
  path: string,
  signal?: AbortSignal,
): Promise<{ content: Buffer; mode: number }> {
  const { copyBytes } = run.limits;
  return await copy(run, ['get', String(copyBytes), path], signal, async (process) => {
    const what = 'copied out of the container';
    process.stdin.end();
    const { bytes, more } = await outputOf(process, mostHeader + copyBytes, what);
    const header = bytes.indexOf(0x0a);
    const mode = bytes.subarray(0, Math.max(header, 0)).toString('latin1');
    const content = bytes.subarray(header + 1);
    if (more || content.length > copyBytes) {
      const message = `${path} has more than ${copyBytes} bytes: it is not copied (limit: copyBytes).`;
      throw new BabelhostError('contentTooLarge', message, { path, limitBytes: copyBytes, limit: 'copyBytes' });
    }
    if (!/^[0-7]{1,4}$/.test(mode)) throw notFromUs(what);
    return { content, mode: parseInt(mode, 8) };
  });
}

/** Executes native/init/copy.c for `work`. The process is ended after that in any case, and not waited for. */
async function copy<T>(
  { container, definition, limits }: Run,
  args: readonly string[],
  signal: AbortSignal | undefined,
  work: (process: ExecutedProcess) => Promise<T>,
): Promise<T> {
  return await whileCopying(limits, signal, async (either) => {
    const process = await container.executeInit(args, definition.entryPoint.user, either);
    const end = () => {
      void process.kill();
      for (const stream of [process.stdin, process.stdout, process.stderr]) stream.destroy();
    };
    const listener = addAbortListener(either, end);
    try {
      either.throwIfAborted();
      return await work(process);
    } finally {
      listener[Symbol.dispose]();
      end();
    }
  });
}

/**
 * What a copying process wrote to stdout, once it has ended: with success, or because it wrote more than that.
 * @param most bytes
 * @throws BabelhostError `notFound`, `containerFailed`
 */
async function outputOf(process: ExecutedProcess, most: number, what: string): Promise<BoundedOutput> {
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

/** The error for output that native/init/copy.c never writes. */
function notFromUs(what: string): BabelhostError {
  const reason = 'the copying process wrote what it never writes: another of the container has got into its place';
  return new BabelhostError('containerFailed', `Nothing can be trusted to be ${what}: ${reason}.`, { reason });
}

/** The error for what native/init/copy.c says on stderr. */
function copyFailure({ bytes, more }: BoundedOutput, what: string): BabelhostError {
  const said = bytes.toString('utf8').trim().split('\n').at(-1)?.replace('init: ', '') ?? '';
  const flooded = `the copying process wrote more than ${mostComplaints} bytes to its stderr and was ended`;
  const reason = more ? flooded : said;
  const code = /\(([A-Z0-9]+)\)/.exec(reason)?.[1];
  let advice = "It is done with the rights of the container's own user.";
  if (code === 'EISDIR') {
    advice = 'Files are copied, not folders: pack it into a file with container/exec, and copy that.';
  } else if (code === 'ENOENT' && what.startsWith('copied into')) {
    advice = 'The folder of each file must be there: make it with container/exec.';
  }
  return new BabelhostError(
    code === 'ENOENT' || code === 'ENOTDIR' ? 'notFound' : 'containerFailed',
    `Nothing was ${what}: ${reason === '' ? 'the copying process was ended' : reason}. ${advice}`,
    { reason, ...(code !== undefined && { code }) },
  );
}
