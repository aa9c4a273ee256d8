// The host's end of `bootstrap guard` (native/guard.c): the namespaces that all containers of this host are started
// in. They end with the host, however it ends; if the guard ends first, so do all containers, and the host is told.
import type { ChildProcess, ChildProcessWithoutNullStreams } from 'node:child_process';
import { open, type FileHandle } from 'node:fs/promises';
import { Socket } from 'node:net';
import path from 'node:path';
import { explainBootstrapFailure } from '../diagnose/failures.ts';
import { longestGuardLine, parseGuardLine } from './reports.ts';
import { readLines } from './lines.ts';
import { idMappings, type IdMapping } from '../oci/id-mapping.ts';
import type { RuntimeProgram } from '../oci/runtime-program.ts';
import { runtimeEnvironment, spawnProcess } from './spawn.ts';

export interface GuardOptions {
  readonly bootstrap: string;
  /** The program that is executed in containers (native/init). */
  readonly init: string;
  /** The folder that the hosts' folders stand in, and the name of this one's; the guard makes and removes it. */
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
  /** Called for each process that the guard has reaped: its id in the guard's namespace, its status as of wait(2). */
  readonly onReaped: (guardPid: number, status: number) => void;
}

export class Guard {
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
  #waiting = 0;

  private constructor(
    child: ChildProcess,
    pid: number,
    lacks: Guard['lacks'],
    processFolder: FileHandle,
    folder: FileHandle,
    ended: Promise<void>,
  ) {
    this.#child = child;
    this.pid = pid;
    this.lacks = lacks;
    this.processFolder = processFolder;
    // By descriptor, because the name of a socket has 107 bytes at the most (unix(7)), and the folder's may have more.
    this.startSocket = `/proc/self/fd/${folder.fd}/start`;
    this.ended = ended.then(async () => {
      await processFolder.close();
      await folder.close();
    });
  }

  /**
   * Starts the guard and waits until its namespaces are made.
   * @throws BabelhostError `containerFailed`, with the setting that stands in the way
   */
  static async start(options: GuardOptions): Promise<Guard> {
    const child = (await spawnProcess('start the guard', options.bootstrap, guardArguments(options), {
      stdio: ['pipe', 'pipe', 'pipe'],
      // In a session of its own: it must outlive an interrupt from the terminal for as long as the host does.
      detached: true,
      cwd: '/',
      env: runtimeEnvironment(path.join(options.directory, options.name)),
    })) as ChildProcessWithoutNullStreams;
    let complaints = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints = (complaints + text).slice(-8192);
    });
    // Its end is what counts, and is awaited below.
    child.stdin.on('error', () => undefined);
    const ended = new Promise<void>((resolve) => {
      child.once('close', () => {
        resolve();
      });
    });
    let folder: Promise<FileHandle> | undefined;
    let pid = 0;
    const lacks: { ids?: string; overlay?: string } = {};
    const ready = await new Promise<boolean>((resolve) => {
      const ended = readLines(child.stdout, longestGuardLine, (line) => {
        const report = parseGuardLine(line ?? '');
        if (report === undefined) {
          // Whatever it is that speaks there, no container is to depend on it.
          complaints = `the guard said '${line?.slice(0, 100) ?? 'a line without end'}', which it never says`;
          child.stdin.end();
        } else if (report.kind === 'guard') {
          pid = report.pid;
          folder = open(`/proc/${pid}`, 'r');
          // Awaited below; a guard that has failed meanwhile has its own, better words for it.
          folder.catch(() => undefined);
        } else if (report.kind === 'lacks') {
          lacks[report.what] = report.reason;
        } else if (report.kind === 'ready') {
          resolve(true);
        } else {
          options.onReaped(report.guardPid, report.status);
        }
      });
      void ended.then(() => {
        resolve(false);
      });
    });
    if (!ready || folder === undefined) {
      child.stdin.end();
      await ended;
      throw explainBootstrapFailure('make the namespaces for containers', complaints, child.exitCode);
    }
    const hostFolder = await open(path.join(options.directory, options.name), 'r');
    const guard = new Guard(child, pid, lacks, await folder, hostFolder, ended);
    guard.#reference();
    return guard;
  }

  /**
   * The host's path of a file that lies on a file system which is mounted in the guard's namespace alone. It leads
   * nowhere when the guard has ended, as that file system is gone then.
   */
  seen(file: string): string {
    return `/proc/self/fd/${this.processFolder.fd}/root${file}`;
  }

  /** Ends the guard and with it every container; resolves when nothing is left. */
  async close(): Promise<void> {
    this.keepHostAlive();
    this.#child.stdin?.end();
    await this.ended;
  }

  /**
   * Keeps the host's event loop alive until the returned function is called: somebody waits for what the guard will
   * report. Otherwise the guard does not, and ends when the loop does.
   */
  keepHostAlive(): () => void {
    this.#waiting += 1;
    this.#reference();
    return () => {
      this.#waiting -= 1;
      this.#reference();
    };
  }

  #reference(): void {
    const method = this.#waiting > 0 ? 'ref' : 'unref';
    this.#child[method]();
    for (const stream of this.#streams()) stream[method]();
  }

  /** They are sockets in truth (libuv makes a child's pipes of socket pairs), typed as mere streams. */
  #streams(): Socket[] {
    return [this.#child.stdin, this.#child.stdout, this.#child.stderr].filter((stream) => stream instanceof Socket);
  }
}

function guardArguments(options: GuardOptions): string[] {
  const { idMapping } = options;
  const args = ['guard', '--directory', options.directory, '--name', options.name, '--stage', options.stage];
  args.push('--init', options.init);
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
    for (const [option, range] of [
      ['--uids', idMapping.uids],
      ['--gids', idMapping.gids],
    ] as const) {
      args.push(option, `${range.first}:${range.count}`);
    }
  }
  return args;
}
