// The host's end of `bootstrap guard` (native/guard.c): the namespaces that all containers of this host are started in. They
// end with the host, however it ends; if the guard ends first, all containers end with it.
import type { ChildProcess, ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { open, type FileHandle } from 'node:fs/promises';
import { Socket } from 'node:net';
import path from 'node:path';
import { explainBootstrapFailure } from '../diagnose/failures.ts';
import { idMappings, type IdMapping } from '../oci/id-mapping.ts';
import type { RuntimeProgram } from '../oci/runtime-program.ts';
import { ExitWaiters } from './exit-waiters.ts';
import { readLines } from './lines.ts';
import { longestGuardLine, parseGuardLine } from './reports.ts';
import { runtimeEnvironment, spawnProcess } from './spawn.ts';

export interface GuardOptions {
  readonly bootstrap: string;
  /** The program that is executed in containers (native/init). */
  readonly init: string;
  /** The folder that hosts have their folders in, and the name of this one's; the guard makes and removes it. */
  readonly directory: string;
  readonly name: string;
  /** A folder that everybody can reach and that nothing of ours lies in; hidden in the guard's namespace. */
  readonly stage: string;
  readonly runtime: RuntimeProgram;
  readonly idMapping: IdMapping;
  /** Folders of cgroups that are this host's own, to be removed at its end. */
  readonly cgroups: readonly string[];
  /** What the runtime is to see as /sys/fs/cgroup, where that is not what the host sees. */
  readonly cgroup2?: string | undefined;
}

/** What a guard has reported when its namespaces are made. */
interface GuardStart {
  readonly pid: number;
  readonly lacks: Guard['lacks'];
  readonly processFolder: FileHandle;
  readonly hostFolder: FileHandle;
  readonly ended: Promise<unknown>;
}

export class Guard {
  readonly bootstrap: string;
  /** Where the guard has mounted what the runtime is to mount (native/stage.c). */
  readonly stage: string;
  /** This host's own folder: bundles, and the runtime's state. */
  readonly folder: string;
  /** The host's id of process 1 of the guard's pid namespace. */
  readonly pid: number;
  /** What roots cannot be mounted with, and why: ids of containers' own, overlays (native/probe.c). */
  readonly lacks: Readonly<Partial<Record<'ids' | 'overlay', string>>>;
  /** Its folder in /proc. A process id may be reused; this stays what it is, and fails when the process is gone. */
  readonly processFolder: FileHandle;
  /** Where the guard takes requests to start containers (native/start.c). */
  readonly startSocket: string;
  /** Resolves when the guard is gone and has removed what it had to. Never rejects. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #exits: ExitWaiters;
  #waiting = 0;

  private constructor(options: GuardOptions, child: ChildProcess, exits: ExitWaiters, start: GuardStart) {
    const { processFolder, hostFolder } = start;
    this.bootstrap = options.bootstrap;
    this.stage = options.stage;
    this.folder = path.join(options.directory, options.name);
    this.pid = start.pid;
    this.lacks = start.lacks;
    this.processFolder = processFolder;
    // By descriptor, because the name of a socket has 107 bytes at the most (unix(7)), and the folder's may have more.
    this.startSocket = `/proc/self/fd/${hostFolder.fd}/start`;
    this.#child = child;
    this.#exits = exits;
    this.ended = start.ended.then(async () => {
      await processFolder.close();
      await hostFolder.close();
    });
    void this.ended.then(() => {
      exits.allGone();
    });
    this.#reference();
  }

  /**
   * Starts the guard and waits until its namespaces are made.
   * @throws BabelhostError `containerFailed`, with the setting that stands in the way
   */
  static async start(options: GuardOptions): Promise<Guard> {
    const folder = path.join(options.directory, options.name);
    const child = (await spawnProcess('start the guard', options.bootstrap, guardArguments(options), {
      stdio: ['pipe', 'pipe', 'pipe'],
      // In a session of its own: it must outlive an interrupt from the terminal for as long as the host does.
      detached: true,
      cwd: '/',
      env: runtimeEnvironment(folder),
    })) as ChildProcessWithoutNullStreams;
    const ended = once(child, 'close');
    let complaints = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints = (complaints + text).slice(-8192);
    });
    child.stdin.on('error', () => undefined);
    const exits = new ExitWaiters();
    const lacks: { ids?: string; overlay?: string } = {};
    const ready = Promise.withResolvers<boolean>();
    let pid = 0;
    const reported = readLines(child.stdout, longestGuardLine, (line) => {
      const report = parseGuardLine(line ?? '');
      switch (report?.kind) {
        case 'guard':
          pid = report.pid;
          break;
        case 'lacks':
          lacks[report.what] = report.reason;
          break;
        case 'ready':
          ready.resolve(true);
          break;
        case 'exited':
          exits.reaped(report.guardPid, report.status);
          break;
        case undefined:
          // Something else writes there: no container may depend on it.
          complaints = `the guard said '${line?.slice(0, 100) ?? 'a line without end'}', which it never says`;
          child.stdin.end();
      }
    });
    void reported.then(() => {
      ready.resolve(false);
    });
    const stop = async () => {
      child.stdin.end();
      await ended;
    };
    if (!(await ready.promise) || pid === 0) {
      await stop();
      throw explainBootstrapFailure('make the namespaces for containers', complaints, child.exitCode);
    }
    let processFolder: FileHandle | undefined;
    try {
      processFolder = await open(`/proc/${pid}`, 'r');
      const hostFolder = await open(folder, 'r');
      return new Guard(options, child, exits, { pid, lacks, processFolder, hostFolder, ended });
    } catch (error) {
      await stop();
      await processFolder?.close();
      throw error;
    }
  }

  /**
   * The host's path of a file that lies on a file system which is mounted in the guard's namespace alone. It leads
   * nowhere when the guard has ended, as that file system is gone then.
   */
  seen(file: string): string {
    return `/proc/self/fd/${this.processFolder.fd}/root${file}`;
  }

  /** See ExitWaiters.beginBoot. */
  beginBoot(): () => void {
    return this.#exits.beginBoot();
  }

  /**
   * Resolves when a process has been reaped, with its status as of wait(2); with undefined if the guard is gone. Keeps the
   * host's event loop alive until then. Once for each process.
   * @param guardPid its id in the guard's namespace
   */
  async waitForExit(guardPid: number): Promise<number | undefined> {
    return this.#keepHostAlive(this.#exits.wait(guardPid));
  }

  /** Ends the guard and with it every container; resolves when nothing is left. */
  async close(): Promise<void> {
    this.#child.stdin?.end();
    await this.#keepHostAlive(this.ended);
  }

  /** The host's event loop ends although there is a guard, unless somebody waits for what the guard will report. */
  async #keepHostAlive<T>(awaited: Promise<T>): Promise<T> {
    this.#waiting += 1;
    this.#reference();
    try {
      return await awaited;
    } finally {
      this.#waiting -= 1;
      this.#reference();
    }
  }

  #reference(): void {
    const method = this.#waiting > 0 ? 'ref' : 'unref';
    this.#child[method]();
    // Sockets, typed as mere streams: libuv makes a child's pipes of socket pairs.
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) {
      if (stream instanceof Socket) stream[method]();
    }
  }
}

function guardArguments(options: GuardOptions): string[] {
  const { idMapping } = options;
  const args = ['guard', '--directory', options.directory, '--name', options.name, '--stage', options.stage];
  args.push('--init', options.init, '--runtime', options.runtime.path);
  for (const cgroup of options.cgroups) args.push('--cgroup', cgroup);
  if (options.cgroup2 !== undefined) args.push('--cgroup2', options.cgroup2);
  if (idMapping.kind === 'privileged') {
    if (idMapping.ranges > 0) args.push('--ids', `${idMapping.ids.first}:${idMapping.ids.count}`);
    // runc looks for a container's namespaces as the machine's root, others as the container's.
    if (idMapping.ranges > 0 && options.runtime.name !== 'runc') args.push('--shift-init');
  } else {
    args.push('--user-namespace');
  }
  if (idMapping.kind !== 'own') args.push('--owner', String(idMappings(idMapping).uids.first));
  if (idMapping.kind === 'granted') {
    const { uids, gids } = idMapping;
    args.push('--uids', `${uids.first}:${uids.count}`, '--gids', `${gids.first}:${gids.count}`);
  }
  return args;
}
