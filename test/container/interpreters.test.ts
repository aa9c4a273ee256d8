// Interpreters and runtimes under the seccomp list and the default limits: each starts, uses threads, children,
// temporary files and timers. The image is the machine's own /usr, as hard links.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runcSettings, settings, Workplace, type TestHost } from './settings.ts';

const python = `
import json, os, subprocess, tempfile, threading, multiprocessing.pool, time, socket, select, shutil
seen = []
thread = threading.Thread(target=lambda: seen.append(1)); thread.start(); thread.join()
with tempfile.NamedTemporaryFile() as file:
    file.write(b'x'); file.flush(); shutil.copy2(file.name, file.name + '2')
out = subprocess.run(['/bin/echo', 'child'], capture_output=True, text=True).stdout
a, b = socket.socketpair(); a.send(b'y'); select.select([b], [], [], 1)
with multiprocessing.pool.ThreadPool(2) as pool: squares = pool.map(lambda n: n * n, range(4))
time.sleep(0.001)
print(json.dumps([seen, out.strip(), squares, b.recv(1).decode()]))
`;

const javascript = `
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync, readFileSync, copyFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { gzipSync, gunzipSync } from 'node:zlib';
import { scryptSync } from 'node:crypto';
const folder = mkdtempSync('/tmp/x');
writeFileSync(folder + '/a', 'x'); copyFileSync(folder + '/a', folder + '/b');
const worker = new Worker('import("node:worker_threads").then(({ parentPort }) => parentPort.postMessage(42))', { eval: true });
const answer = await new Promise((resolve) => worker.once('message', resolve));
scryptSync('a', 'b', 8);
console.log(JSON.stringify([readFileSync(folder + '/b', 'utf8'), answer, gunzipSync(gzipSync('z')).toString(),
  execFileSync('/bin/echo', ['child']).toString().trim()]));
`;

/**
 * Makes a root file system of the machine's programs and libraries. Nothing in it may be written to: they are links, and
 * so the machine's own. What is put in another's place is removed before.
 */
async function makeImage(folder: string): Promise<string> {
  const image = path.join(folder, 'image');
  const script = `
    mkdir -p "$1/usr/sbin" "$1/etc" "$1/dev" "$1/proc" "$1/tmp"
    cp -al /usr/bin /usr/lib /usr/lib64 "$1/usr"
    cp -l /usr/sbin/runc "$1/usr/sbin"
    rm -f "$1/usr/bin/node"
    cp -L "$2" "$1/usr/bin/node"
    cp -a /etc/ld.so.cache /etc/alternatives "$1/etc"
    if [ -d /usr/lib/jvm ]; then cp -a /etc/java-* "$1/etc"; fi
    for name in bin lib lib64; do ln -s "usr/$name" "$1/$name"; done`;
  await promisify(execFile)('sh', ['-ec', script, 'sh', image, process.execPath]);
  return image;
}

describe.each([...runcSettings, ...settings.filter(({ runtime, user }) => runtime === 'crun' && user === 'root')])(
  'interpreters ($name)',
  (setting) => {
    let place: Workplace;
    let host: TestHost;
    let image: string;

    beforeAll(async () => {
      place = await Workplace.make(setting);
      image = await makeImage(place.folder);
      host = await place.host();
    });

    afterAll(async () => {
      await place[Symbol.asyncDispose]();
    });

    const run = async (...args: string[]) => {
      const result = await host.run({ rootfs: image, args, env: { PATH: '/usr/bin:/bin', HOME: '/tmp' } });
      expect(result.stderr).toBe('');
      expect(result.exit).toEqual({ reason: 'exited', code: 0 });
      return result.stdout;
    };

    it('run CPython', async () => {
      expect(JSON.parse(await run('/usr/bin/python3', '-c', python))).toEqual([[1], 'child', [0, 1, 4, 9], 'y']);
    });

    it('run Node', async () => {
      const stdout = await run('/usr/bin/node', '--input-type=module', '-e', javascript);
      expect(JSON.parse(stdout)).toEqual(['x', 42, 'z', 'child']);
    });

    it('run Go programs, such as runc', async () => {
      expect(await run('/usr/sbin/runc', '--version')).toContain('runc version');
    });

    it('run the JVM', async () => {
      const java = '/usr/bin/java';
      const { exit, stderr } = await host.run({ rootfs: image, args: [java, '-version'], env: { HOME: '/tmp' } });
      expect(exit).toEqual({ reason: 'exited', code: 0 });
      expect(stderr).toMatch(/version "/);
    });
  },
);
