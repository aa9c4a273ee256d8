// The process that tells when a pipe has no reader any more.
import { spawn } from 'node:child_process';
import { expect, it } from 'vitest';
import { bootstrapPath } from '../../src/base/native.ts';
import { collect } from '../support/program.ts';

/** Runs a line of shell in which $0 is the bootstrap, with a stdin that stays open. */
async function run(line: string): Promise<{ status: unknown; stderr: string; elapsedMs: number }> {
  const startedAt = performance.now();
  const child = spawn('sh', ['-c', line, bootstrapPath()], { stdio: ['pipe', 'pipe', 'pipe'] });
  const { status, stderr } = await collect(child);
  child.stdin.destroy();
  return { status, stderr, elapsedMs: performance.now() - startedAt };
}

it('ends with status 0 when the last reader has gone, and not before', async () => {
  // `exec`: the pipe's reader is sleep, whose end is the end of all readers.
  const { stderr, elapsedMs } = await run('{ "$0" hangup; echo "status $?" >&2; } | exec sleep 0.4');
  expect(stderr).toBe('status 0\n');
  expect(elapsedMs).toBeGreaterThan(350);
});

it('ends at once where there was none', async () => {
  const program =
    'import os, subprocess, sys; r, w = os.pipe(); os.close(r); sys.exit(subprocess.run([sys.argv[1], "hangup"], stdout=w).returncode)';
  const child = spawn('/usr/bin/python3', ['-c', program, bootstrapPath()], { stdio: ['pipe', 'pipe', 'pipe'] });
  expect(await collect(child)).toMatchObject({ status: 0, stderr: '' });
});

it('says so where stdout is closed', async () => {
  const { status, stderr } = await run('exec "$0" hangup >&-');
  expect(status).toBe(1);
  expect(stderr).toBe('bootstrap: stdout is closed\n');
});

it('ends with its parent, which it would keep the client of from seeing the end otherwise', async () => {
  // The reader is the test: it sees the end of the pipe when the process that is left behind has gone, too.
  const { status, elapsedMs } = await run('"$0" hangup & sleep 0.2; kill -9 $$');
  expect(status).toBe('SIGKILL');
  expect(elapsedMs).toBeLessThan(5000);
});
