// Drivers as plain child processes, for tests of what stands above the container: a program in Node that speaks (or
// fails to speak) the native protocol.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { ContainerExit } from '../../src/container/index.ts';
import type { DriverProcess } from '../../src/drivers/process/driver-process.ts';

let made = 0;

/** What a driver's program may use: `answer(object)` writes a line; `eachLine(f)` calls f with each request. */
const prelude = `
  const answer = (value) => process.stdout.write(JSON.stringify(value) + '\\n');
  const eachLine = (f) => {
    let text = '';
    process.stdin.setEncoding('utf8').on('data', (part) => {
      text += part;
      for (let end; (end = text.indexOf('\\n')) >= 0; text = text.slice(end + 1)) f(JSON.parse(text.slice(0, end)));
    });
  };
`;

/** A driver that answers each request with its content: {"status":"ok","errors":[],"ast":{"content":…}}. */
export const echoProgram = `eachLine(({ content }) => answer({ status: 'ok', errors: [], ast: { content } }));`;

/** Starts a driver process that runs `program`. It ends with its stdin, with kill(), or with the test's process. */
export function driverProcess(program: string): DriverProcess {
  const child = spawn(process.execPath, ['-e', prelude + program], { stdio: 'pipe' });
  const exited = new Promise<ContainerExit>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve(
        signal === null
          ? { reason: 'exited', code: code ?? 0 }
          : { reason: 'signaled', signal: constants.signals[signal] },
      );
    });
  });
  made += 1;
  return {
    id: `process-${made}`,
    pid: child.pid ?? 0,
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    exited,
    processes: () => Promise.resolve(child.pid === undefined ? [] : [child.pid]),
    outOfMemory: () => Promise.resolve(undefined),
    usage: () => Promise.resolve({ memoryBytes: undefined, cpuMs: undefined }),
    kill: async () => {
      child.kill('SIGKILL');
      return await exited;
    },
  };
}
