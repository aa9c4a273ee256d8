// The seccomp filter that crun made for a host's first container and that later ones are given: the same for all, and for
// none whose list is another. All else that bounds a container is its own.
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SeccompFilter } from '../../../src/container/oci/seccomp-filter.ts';
import { settings, Workplace, type TestHost } from '../settings.ts';

const execute = promisify(execFile);

const attempts = fileURLToPath(new URL('../fixtures/attempts.c', import.meta.url));

describe('a filter', () => {
  const crun = { name: 'crun', path: '/usr/bin/crun' };
  const data = Buffer.alloc(16, 7);
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-filter-'));
    await writeFile(path.join(folder, 'seccomp.bpf'), data);
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it('stands for the list that it was made of, and for no other, be it written alike', async () => {
    const filter = new SeccompFilter(crun);
    const profile = { defaultAction: 'SCMP_ACT_ERRNO' };
    expect(filter.annotations(profile)).toEqual({});
    await filter.learn(folder, profile);
    expect(filter.annotations(profile)).toEqual({ 'run.oci.seccomp_bpf_data': data.toString('base64') });
    expect(filter.annotations({ ...profile })).toEqual({});
    // A second container's does not take its place.
    await filter.learn(folder, { ...profile });
    expect(filter.annotations(profile)).not.toEqual({});
  });

  it('is not taken from what is none, nor from another runtime', async () => {
    const profile = {};
    for (const content of [Buffer.alloc(0), Buffer.alloc(7), Buffer.alloc(4097 * 8)]) {
      await writeFile(path.join(folder, 'seccomp.bpf'), content);
      const filter = new SeccompFilter(crun);
      await filter.learn(folder, profile);
      expect(filter.annotations(profile)).toEqual({});
    }
    await writeFile(path.join(folder, 'seccomp.bpf'), data);
    const runc = new SeccompFilter({ name: 'runc', path: '/usr/sbin/runc' });
    await runc.learn(folder, profile);
    expect(runc.annotations(profile)).toEqual({});
  });
});

describe.each(settings.filter(({ runtime, user }) => runtime === 'crun' && (user === 'root' || user === 'granted')))(
  'containers of one host ($name)',
  (setting) => {
    let place: Workplace;
    let host: TestHost;

    beforeEach(async () => {
      place = await Workplace.make(setting);
      const program = path.join(place.folder, 'attempts');
      await execute('cc', ['-static', '-o', program, attempts]);
      await copyFile(program, path.join(place.rootfs, 'bin/attempts'));
      host = await place.host();
    });

    afterEach(async () => {
      await place[Symbol.asyncDispose]();
    });

    it('are filtered alike, the first and those that are given its filter, and have each their own limits', async () => {
      const forbidden = ['add-key', 'fault-handler', 'inet', 'io-uring', 'user-namespace'];
      const script = [
        'cat /proc/self/status',
        ...forbidden.map((name) => `echo ${name} $(attempts ${name})`),
        'echo files $(ulimit -n)',
        'echo size $(ulimit -f)',
      ].join('; ');
      const answers = [];
      for (const [openFiles, megabytes] of [
        [64, 1],
        [128, 2],
        [256, 4],
      ] as const) {
        const { stdout } = await host.run({
          args: ['sh', '-c', script],
          limits: { openFiles, fileSizeBytes: megabytes * 1024 * 1024 },
        });
        expect(stdout).toContain('Seccomp:\t2\n');
        expect(stdout).toContain('Seccomp_filters:\t1\n');
        expect(stdout).toContain(`files ${openFiles}\n`);
        // In blocks of 512 bytes.
        expect(stdout).toContain(`size ${megabytes * 2048}\n`);
        answers.push(stdout.split('\n').filter((line) => forbidden.some((name) => line.startsWith(`${name} `))));
      }
      expect(answers[0]).toHaveLength(forbidden.length);
      for (const answer of answers) expect(answer).toEqual(answers[0]);
      for (const line of answers[0] ?? []) expect(line).toMatch(/ E[A-Z]+$/);
    });
  },
);
