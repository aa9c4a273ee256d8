// A process that runs bundles by an OCI runtime's plain command line, and tells its parent how long that took, from when
// the first was to be started until the last has written its first byte. On its own because crun has to be shown a machine
// with cgroup v2 alone: this process is then started in such a mount namespace, which so is no part of what is measured.
import { spawn, type ChildProcess } from 'node:child_process';

export interface PlainRun {
  readonly command: readonly string[];
  /** How many to start at once; '%' in the command becomes the number of each. */
  readonly count: number;
}

/** Resolves with the process when it has written something. */
async function run([program = '', ...args]: readonly string[]): Promise<ChildProcess> {
  // As a driver, it lives until its stdin ends: what ends would take the processors from those that are being started.
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = await new Promise<boolean>((resolve) => {
    child.stdout.once('data', () => {
      resolve(true);
    });
    for (const end of ['error', 'close']) {
      child.once(end, () => {
        resolve(false);
      });
    }
  });
  if (!said) throw new Error(`${program} ${args.join(' ')} wrote nothing`);
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.stdin?.end();
  await ended;
}

process.on('message', (message: PlainRun) => {
  const startedAt = performance.now();
  const runs = Array.from({ length: message.count }, (_, index) =>
    run(message.command.map((word) => word.replaceAll('%', String(index)))),
  );
  Promise.all(runs)
    .then(async (children) => {
      const elapsed = performance.now() - startedAt;
      await Promise.all(children.map(end));
      process.send?.({ elapsed });
    })
    .catch((error: unknown) => process.send?.({ error: String(error) }));
});
process.on('disconnect', () => process.exit());
