// A process of the native bootstrap that holds a lock for us: flock(2), which Node lacks. The kernel ends the lock with the
// process, and the process ends when our end of its stdin closes, so that SIGKILL leaves none behind.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { Socket } from 'node:net';
import { requireBootstrap } from '../../base/native.ts';

/** Complaints are cut there. */
const complaintLength = 1000;

export class LockProcess {
  readonly program: string;
  /** Told of each line that it writes. */
  onLine: (line: string) => void = () => undefined;
  /** Resolves when it has ended, and so holds nothing; with the reason, if it could not be started. */
  readonly ended: Promise<Error | undefined>;
  readonly #child: ChildProcessWithoutNullStreams;
  #complaint = '';

  /**
   * Starts `bootstrap lock` with these arguments.
   * @throws BabelhostError `runtimeMissing` if the bootstrap is not built.
   */
  constructor(args: readonly string[]) {
    this.program = requireBootstrap();
    const child = spawn(this.program, ['lock', ...args], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.#child = child;
    // It may end before it has read what we write, which is no error of ours.
    child.stdin.on('error', () => undefined);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(0, complaintLength);
    });
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.onLine(line);
    });
    this.ended = new Promise((resolve) => {
      child.once('close', () => {
        resolve(undefined);
      });
      child.once('error', resolve);
    });
  }

  /** What it has written to stderr. */
  get complaint(): string {
    return this.#complaint;
  }

  /** Has one that was started with `--after-sync` sync, and then lock. */
  sync(): void {
    this.#child.stdin.write('\n');
  }

  /** Lets our process end while this one holds its lock, as that releases it. */
  unref(): void {
    for (const part of this.#parts()) part.unref();
  }

  /** Has it end, and waits for that. */
  async release(): Promise<void> {
    for (const part of this.#parts()) part.ref();
    this.#child.stdin.end();
    await this.ended;
  }

  /** What keeps our process from ending. */
  #parts(): (ChildProcessWithoutNullStreams | Socket)[] {
    const { stdin, stdout, stderr } = this.#child;
    return [this.#child, ...[stdin, stdout, stderr].filter((stream) => stream instanceof Socket)];
  }
}
