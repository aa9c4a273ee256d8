// Passes bytes on between a client and a driver, each answer once its line is whole: the least that a host of Node's can do.
import { spawn } from 'node:child_process';

const [command, ...parameters] = process.argv.slice(2);
if (command === undefined) throw new Error('usage: relay-process DRIVER [ARGUMENT ...]');
const driver = spawn(command, parameters, { stdio: ['pipe', 'pipe', 'inherit'] });
process.stdin.pipe(driver.stdin);

let held: Buffer[] = [];
driver.stdout.on('data', (chunk: Buffer) => {
  const end = chunk.lastIndexOf(0x0a) + 1;
  if (end === 0) {
    held.push(chunk);
    return;
  }
  process.stdout.cork();
  for (const whole of [...held, chunk.subarray(0, end)]) process.stdout.write(whole);
  process.stdout.uncork();
  held = end < chunk.length ? [chunk.subarray(end)] : [];
});
