// `babelhost parse DIR > trees.ndjson`, once, from cold: a command, its host and its drivers start, and end when all trees are
// written. Beside it, a program of two workers that calls the parser as a library, from cold too.
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { packageFiles } from './corpus.ts';
import type { Figure } from './report.ts';
import { program } from './setting.ts';
import { summarise, takeTurns } from './statistics.ts';

const count = 3000;
const largest = 200 * 1024;
const rounds = 5;
/** Of the times in /proc: USER_HZ (times(2)). */
const ticksPerSecond = 100;
const loop = fileURLToPath(new URL('cold-loop.ts', import.meta.url));

export async function measureColdFolder(root: string): Promise<Figure[]> {
  const scratch = await mkdtemp(path.join(tmpdir(), 'babelhost-bench-'));
  try {
    const folder = path.join(scratch, 'sources');
    await copySources(folder);
    const ofHost: number[] = [];
    const ofAll: number[] = [];
    const { through, plain } = await takeTurns(rounds, 1, {
      through: async () => {
        const command = [
          program,
          'parse',
          folder,
          '--root',
          root,
          '--store-access',
          'everyone',
          '--log-level',
          'error',
        ];
        const { elapsedMs, own, all } = await run(command, path.join(scratch, 'through.ndjson'));
        ofHost.push(own);
        ofAll.push(all);
        return count / (elapsedMs / 1000);
      },
      plain: async () => {
        const { elapsedMs } = await run([loop, folder], path.join(scratch, 'plain.ndjson'));
        return count / (elapsedMs / 1000);
      },
    });
    const name = `\`babelhost parse\` of a folder of ${count} files, once, from cold`;
    return [
      {
        name,
        unit: 'files/s',
        value: through,
        baseline: { name: 'a program of two workers that calls the parser, from cold', value: plain },
        target: { ratio: 0.95, is: 'at least' },
      },
      {
        name: `${name}: processor time of the command with its host`,
        unit: 's',
        value: summarise(ofHost.slice(1)),
        baseline: { name: 'of all, with the drivers', value: summarise(ofAll.slice(1)) },
        target: { ratio: 0.15, is: 'at most' },
      },
    ];
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Flat, but for a folder for each hundred. */
async function copySources(folder: string): Promise<void> {
  const files = await packageFiles(count, largest);
  for (const [index, file] of files.entries()) {
    const directory = path.join(folder, String(Math.floor(index / 100)));
    if (index % 100 === 0) await mkdir(directory, { recursive: true });
    await copyFile(file, path.join(directory, `${index}${path.extname(file)}`));
  }
}

interface Run {
  readonly elapsedMs: number;
  /** Processor time of the program without its drivers, and of all programs of the machine meanwhile, in seconds. */
  readonly own: number;
  readonly all: number;
}

/** Runs a program of Node's, with stdout to a new file. */
async function run(command: readonly string[], output: string): Promise<Run> {
  await rm(output, { force: true });
  const before = await busySeconds();
  const startedAt = performance.now();
  const { stdout } = await promisify(execFile)('sh', [
    '-c',
    'file=$1; shift; "$@" >"$file" || exit; times',
    'sh',
    output,
    process.execPath,
    ...command,
  ]);
  const elapsedMs = performance.now() - startedAt;
  // The second line is of what the shell has run (POSIX, "times").
  const times = [...(stdout.split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)];
  if (times.length !== 2) throw new Error(`times wrote ${stdout}`);
  const own = times.reduce((sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds), 0);
  return { elapsedMs, own, all: (await busySeconds()) - before };
}

/** How long the machine's processors have worked since it started (proc(5), /proc/stat). */
async function busySeconds(): Promise<number> {
  const [user = 0, nice = 0, system = 0, , , interrupts = 0, softInterrupts = 0] = (
    await readFile('/proc/stat', 'utf8')
  )
    .slice('cpu'.length)
    .trim()
    .split(/\s+/, 7)
    .map(Number);
  return (user + nice + system + interrupts + softInterrupts) / ticksPerSecond;
}
