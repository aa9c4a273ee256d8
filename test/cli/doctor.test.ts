// doctor: what a machine can do, as root, as an ordinary user, and where something is missing.
import { spawn } from 'node:child_process';
import { chmod, copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { bootstrapPath, initProgramPath } from '../../src/base/native.ts';
import { collect, runOnTerminal, runProgram } from '../support/program.ts';
import { ordinaryId } from '../support/ordinary-user.ts';
import { mainProgram } from '../support/served-host.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const project = path.resolve(import.meta.dirname, '../..');

interface Report {
  readonly able: boolean;
  readonly findings: readonly { name: string; state: string; found: string; mend?: string }[];
  readonly isolation: { readonly identity: string; readonly items: readonly { name: string; enforced: string }[] };
}

describe('doctor', () => {
  it('has a line for each thing, and says that babelhost can run here', async () => {
    const { status, stdout, stderr } = await runProgram(['doctor']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const name of [
      'bootstrap',
      'runc',
      'crun',
      'namespaces',
      'container',
      'ids',
      'cgroups',
      'overlay',
      'dumps',
      'store',
      'memory',
      'seccomp',
    ]) {
      expect(stdout).toMatch(new RegExp(`^  . (ok|weaker|missing) +${name} `, 'm'));
    }
    expect(stdout).toMatch(/babelhost can run here\.\n$/);
    expect((await runOnTerminal(['doctor'], { environment: { NO_COLOR: undefined } })).stdout).toContain('\u001b[32m');
  });

  it('gives all of it as JSON with --json', async () => {
    const { status, stdout } = await runProgram(['doctor', '--json', '--runtime', 'crun']);
    const report = JSON.parse(stdout) as Report;
    expect(status).toBe(0);
    expect(report).toMatchObject({ able: true, isolation: { runtime: 'crun' } });
    // Or weaker, where it is older than a fix.
    expect(report.findings.find(({ name }) => name === 'crun')?.state).not.toBe('missing');
  });

  it('says what is weaker for an ordinary user without a range of ids, and the command that mends it', async () => {
    // The one capability lets that user read the program, wherever the project lies; the native ones must do without.
    const folder = await temporaryFolder();
    const bootstrap = path.join(folder, 'bootstrap');
    for (const program of [bootstrapPath(), initProgramPath()]) {
      const copy = path.join(folder, path.basename(program));
      await copyFile(program, copy);
      await chmod(copy, 0o755);
    }
    const reading = ['--inh-caps', '-all,+dac_read_search', '--ambient-caps', '-all,+dac_read_search'];
    const words = ['--reuid', `${ordinaryId}`, '--regid', `${ordinaryId}`, '--clear-groups', ...reading];
    const child = spawn('setpriv', [...words, process.execPath, mainProgram, 'doctor', '--json'], {
      env: { ...process.env, BABELHOST_BOOTSTRAP: bootstrap },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { status, stdout, stderr } = await collect(child);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const { findings, isolation } = JSON.parse(stdout) as Report;
    expect(isolation.identity).toBe('own');
    expect(findings.find(({ name }) => name === 'ids')).toMatchObject({
      state: 'weaker',
      mend: expect.stringContaining('--add-subuids') as string,
    });
  });

  it('notes which fixes a runtime lacks, and does not fail for it', async () => {
    const folder = await temporaryFolder();
    const runtime = path.join(folder, 'runc');
    const real = (await runProgram(['doctor', '--json'])).stdout;
    const { found = '' } = (JSON.parse(real) as Report).findings.find(({ name }) => name === 'runc') ?? {};
    const place = / at (\S+?)[:,]?(?: |$)/.exec(found)?.[1] ?? '';
    // The machine's runtime, but for what it says of itself.
    const script = (version: string) =>
      `#!/bin/sh\n[ "$1" = --version ] && { echo "runc version ${version}"; exit; }\nexec ${place} "$@"\n`;
    await writeFile(runtime, script('1.3.3'), { mode: 0o755 });
    const old = await runProgram(['doctor', '--runtime', runtime]);
    expect(old).toMatchObject({ status: 0, stdout: expect.stringContaining('babelhost can run here') as string });
    expect(old.stdout).toMatch(/weaker +\S*\/runc +1\.3\.3 at .* a fix of CVE-2026-41579 \(\//);
    expect(old.stdout).toContain(`(${path.join(project, 'docs/security.md')} has what they come to here)`);
    expect(old.stdout).not.toContain('only-upgrade /');
    await writeFile(runtime, script('1.5.2'));
    expect((await runProgram(['doctor', '--runtime', runtime])).stdout).toMatch(
      /ok +\S*\/runc +1\.5\.2 at \S*\/runc\n/,
    );
  });

  it('says where the kernel leaves the memory of processes open that should be closed, and the command that mends it', async () => {
    const setting = path.join(await temporaryFolder(), 'suid_dumpable');
    await writeFile(setting, '1\n');
    const bound = `mount --bind ${setting} /proc/sys/fs/suid_dumpable && exec "$@"`;
    const doctor = [process.execPath, mainProgram, 'doctor', '--json'];
    const child = spawn('unshare', ['--mount', 'sh', '-c', bound, 'sh', ...doctor], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { status, stdout } = await collect(child);
    expect(status).toBe(0);
    expect((JSON.parse(stdout) as Report).findings.find(({ name }) => name === 'dumps')).toMatchObject({
      state: 'weaker',
      mend: 'sudo sysctl -w fs.suid_dumpable=2',
    });
  });

  it('fails where a protection that is required is not in force', async () => {
    const { status, stdout } = await runProgram(['doctor', '--require', 'seccomp, readOnlyRoot']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ {2}. ok +required +seccomp, readOnlyRoot: in force$/m);
    const wanting = await runProgram(['doctor', '--require', 'seccomp,magic']);
    expect(wanting.status).toBe(1);
    expect(wanting.stdout).toMatch(/missing +required +'magic' is required, but there is no such protection/);
  });

  it('makes no store, and fails where there is one that cannot be opened', async () => {
    const folder = await temporaryFolder();
    const root = path.join(folder, 'root');
    const none = await runProgram(['doctor', '--root', root]);
    expect(none.stdout).toMatch(new RegExp(`^ {2}. ok +store +none yet at ${root}$`, 'm'));
    expect(none.status).toBe(0);
    expect(await readdir(folder)).toEqual([]);
    await mkdir(root);
    for (const file of ['oci-layout', 'tmp']) await writeFile(path.join(root, file), '');
    const broken = await runProgram(['doctor', '--root', root]);
    expect(broken.stdout).toMatch(new RegExp(`^ {2}. missing +store +${root} cannot be opened: `, 'm'));
    expect(broken.status).toBe(1);
  });

  it('names files by absolute paths, whatever folder it is called in and whatever it was given', async () => {
    const folder = await temporaryFolder();
    const options = {
      cwd: folder,
      environment: { BABELHOST_BOOTSTRAP: 'bin/bootstrap', PATH: `.:${process.env['PATH'] ?? ''}` },
    };
    await writeFile(path.join(folder, 'runc'), '#!/bin/sh\necho runc version 1.3.3\n', { mode: 0o755 });
    const { status, stdout } = await runProgram(['doctor', '--json', '--root', 'root'], options);
    expect(status).toBe(1);
    const found = new Map((JSON.parse(stdout) as Report).findings.map((finding) => [finding.name, finding]));
    expect(found.get('bootstrap')).toMatchObject({
      found: expect.stringContaining(`is not at ${folder}/bin/init`) as string,
      mend: `make -C ${project}/native`,
    });
    expect(found.get('runc')?.found).toContain(`1.3.3 at ${folder}/runc`);
    expect(found.get('runc')?.found).toContain(`(${project}/docs/security.md has`);
    expect(found.get('store')?.found).toBe(`none yet at ${folder}/root`);
  });

  it('says what is missing and how to get it, and fails', async () => {
    const folder = await temporaryFolder();
    await mkdir(path.join(folder, 'bin'));
    const { status, stdout } = await runProgram(['doctor'], {
      environment: { BABELHOST_BOOTSTRAP: path.join(folder, 'bin', 'bootstrap') },
    });
    expect(status).toBe(1);
    expect(stdout).toMatch(new RegExp(`missing +bootstrap .*\\n +mend it: make -C ${project}/native\\n`));
    expect(stdout).toContain('babelhost cannot run here');
  });
});
