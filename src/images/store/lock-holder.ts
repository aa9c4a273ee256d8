// What holds locks for us: processes of the native bootstrap. The kernel ends a lock with its holder, and the holder ends
// with us, so that SIGKILL leaves none behind. To start a process costs Node milliseconds, so one that has a lock already
// takes others too, in children of its own (native/lend.c).
import { spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { requireBootstrap } from '../../native.ts';

/** Holds a lock, or is about to. */
export interface Holder {
  readonly program: string;
  /** Told of each line that it writes. */
  onLine: (line: string) => void;
  /** What it has complained of. */
  readonly complaint: () => string;
  /** Resolves when it holds nothing any more; with the reason, if it could not be started. */
  readonly ended: Promise<Error | undefined>;
  /** Says something to it: '\n', if it was prepared, for it to sync and lock now. */
  readonly say: (word: string) => void;
  /** Says whether this process has to go on for it. A lock that is held does not keep us: our end releases it. */
  readonly keep: (needed: boolean) => void;
  /** Has it end, and waits for that. */
  readonly release: () => Promise<void>;
}

/** Complaints are cut there. */
const complaintLength = 1000;

/**
 * Starts `bootstrap lock` with these arguments.
 * @throws BabelhostError `runtimeMissing` if the bootstrap is not built.
 */
export function startHolder(args: readonly string[]): Holder {
  const program = requireBootstrap();
  const child = spawn(program, ['lock', ...args], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  // Our end closing before the holder has read it is no error of ours.
  child.stdin.on('error', () => undefined);
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, complaintLength);
  });
  let rest = '';
  let releasing = false;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) holder.onLine(line);
  });
  const ended = new Promise<Error | undefined>((resolve) => {
    child.once('close', () => {
      resolve(undefined);
    });
    child.once('error', resolve);
  });
  const holder: Holder = {
    program,
    onLine: () => undefined,
    complaint: () => complaint,
    ended,
    say: (word) => child.stdin.write(word),
    keep: (needed) => {
      for (const one of [child, child.stdin, child.stdout, child.stderr]) {
        if (one !== child && !(one instanceof Socket)) continue;
        if (needed || releasing) one.ref();
        else one.unref();
      }
    },
    release: async () => {
      releasing = true;
      holder.keep(true);
      child.stdin.end();
      await ended;
    },
  };
  return holder;
}

/** A lock that is lent. */
interface Loan {
  readonly holder: Holder;
  complaint: string;
  readonly end: (reason: Error | undefined) => void;
}

/** Lends the lock that a holder can take besides its own, to one user at a time. */
export class Lender {
  readonly #owner: Holder;
  #loan: Loan | undefined;
  #over = false;

  /** @param owner - started with `--lend`, and with its own lock. */
  constructor(owner: Holder) {
    this.#owner = owner;
    owner.onLine = (line) => {
      if (line === 'ended') this.#end(undefined);
      // Between the answers, so that it comes before 'ended'.
      else if (this.#loan !== undefined && line.startsWith('bootstrap: ')) this.#loan.complaint += line;
      else this.#loan?.holder.onLine(line);
    };
    void owner.ended.then((reason) => {
      this.#over = true;
      this.#end(reason);
    });
  }

  /**
   * A holder of the other lock, which it takes, or prepares to take.
   * @returns undefined while somebody else has it, or if the owner is no more.
   */
  lend(how: 'lock' | 'prepare'): Holder | undefined {
    if (this.#over || this.#loan !== undefined) return undefined;
    const owner = this.#owner;
    const { promise: ended, resolve: end } = Promise.withResolvers<Error | undefined>();
    const say = (word: string) => {
      // What is said to one that has ended would be taken as said to the next.
      if (this.#loan === loan) owner.say(word);
    };
    const holder: Holder = {
      program: owner.program,
      onLine: () => undefined,
      complaint: () => loan.complaint || owner.complaint(),
      ended,
      say,
      keep: owner.keep,
      release: async () => {
        if (this.#loan === loan) owner.keep(true);
        say('e');
        await ended;
      },
    };
    const loan: Loan = { holder, complaint: '', end };
    this.#loan = loan;
    owner.keep(true);
    owner.say(how === 'lock' ? 'l' : 'p');
    return holder;
  }

  #end(reason: Error | undefined): void {
    const loan = this.#loan;
    if (loan === undefined) return;
    this.#loan = undefined;
    this.#owner.keep(false);
    loan.end(reason);
  }
}
