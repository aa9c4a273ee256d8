// A process that runs bundles by an OCI runtime's plain command line, and tells its parent how long each took from the
// spawning of the runtime to the first byte of output. On its own because crun has to be shown a machine with cgroup v2
// alone: this process is then started in such a mount namespace, which so is no part of what is measured.
import { spawn } from 'node:child_process';

export interface PlainRun {
  readonly command: readonly string[];
  /** How many to start at once; '%' in the command becomes the number of each. The time is that of the last. */
  readonly count: number;
}

async function run([program = '', ...args]: readonly string[]): Promise<{ elapsed: number; ended: Promise<unknown> }> {
  const startedAt = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const said = await new Promise<boolean>((resolve) => {
    child.stdout.once('data', () => {
      resolve(true);
    });
    child.once('error', () => {
      resolve(false);
    });
    void ended.then(() => {
      resolve(false);
    });
  });
  if (!said) throw new Error(`${program} ${args.join(' ')} wrote nothing`);
  return { elapsed: performance.now() - startedAt, ended };
}

process.on('message', (message: PlainRun) => {
  const runs = Array.from({ length: message.count }, (_, index) =>
    run(message.command.map((word) => word.replaceAll('%', String(index)))),
  );
  Promise.all(runs)
    .then(async (done) => {
      const elapsed = Math.max(...done.map((one) => one.elapsed));
      await Promise.all(done.map((one) => one.ended));
      process.send?.({ elapsed });
    })
    .catch((error: unknown) => process.send?.({ error: String(error) }));
});
process.on('disconnect', () => process.exit());
