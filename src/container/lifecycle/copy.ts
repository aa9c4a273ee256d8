// Files into a running container and out of it: by native/copy.c, executed in the container as its own user, so that no
// link of the container's can lead to anything that is not its own.
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { BabelhostError } from '../../errors.ts';
import type { Container } from '../container.ts';
import type { ExecutedProcess } from '../execute.ts';
import { initPath } from '../spec.ts';

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

/** Writes the records that native/copy.c reads. Resolves when the pipe has taken them, or when it is closed. */
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

type User = string;

function copying(args: readonly string[], user: User) {
  return { args: [initPath, ...args], env: {}, cwd: '/', user };
}

/**
 * Copies files into a running container, all or none.
 * @throws BabelhostError `notFound` where a folder is missing, `containerFailed` for anything else; the signal's reason
 */
export async function copyIn(
  container: Container,
  user: User,
  files: readonly CopiedFile[],
  signal?: AbortSignal,
): Promise<void> {
  const process = await container.execute(copying(['put'], user), signal);
  const complaints = buffer(process.stderr);
  process.stdout.resume();
  await interruptible(process, signal, async () => {
    await sendFiles(process.stdin, files);
    process.stdin.end();
    await succeeded(process, complaints, 'copied into the container');
  });
}

/**
 * Reads a file of a running container.
 * @param most bytes
 * @throws BabelhostError `notFound`; `contentTooLarge`; `containerFailed`; the signal's reason
 */
export async function copyOut(
  container: Container,
  user: User,
  path: string,
  most: number,
  signal?: AbortSignal,
): Promise<{ content: Buffer; mode: number }> {
  const process = await container.execute(copying(['get', String(most), path], user), signal);
  process.stdin.end();
  const complaints = buffer(process.stderr);
  // The container's program is ours, and writes `most` + 1 bytes at the most.
  const output = buffer(process.stdout);
  return await interruptible(process, signal, async () => {
    await succeeded(process, complaints, 'copied out of the container');
    const bytes = await output;
    const header = bytes.indexOf(0x0a);
    const content = bytes.subarray(header + 1);
    if (content.length > most) {
      throw new BabelhostError(
        'contentTooLarge',
        `${path} has more than ${most} bytes: it is not copied (limit: copyBytes).`,
        { path, limitBytes: most, limit: 'copyBytes' },
      );
    }
    return { content, mode: parseInt(bytes.subarray(0, header).toString('latin1'), 8) };
  });
}

async function interruptible<T>(
  process: ExecutedProcess,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const end = () => {
    process.signal(9);
  };
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted === true) end();
  try {
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', end);
  }
}

async function succeeded(process: ExecutedProcess, complaints: Promise<Buffer>, what: string): Promise<void> {
  const [exit, text] = await Promise.all([process.exited, complaints]);
  if (exit.reason === 'exited' && exit.code === 0) return;
  throw copyFailure(text.toString('utf8'), what);
}

/** The error for what native/copy.c says on stderr. */
export function copyFailure(complaints: string, what: string): BabelhostError {
  const reason = complaints.trim().split('\n').at(-1)?.replace('bootstrap: ', '') ?? '';
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
