// How the program is called, and what it says when it is called wrongly.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { version } from '../../src/base/package.ts';
import { runOnTerminal, runProgram } from '../support/program.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const wrong = async (...args: string[]) => {
  const { status, stdout, stderr } = await runProgram(args);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  return stderr;
};

describe('babelhost', () => {
  it('prints its version', async () => {
    for (const args of [['--version'], ['-V']]) {
      expect(await runProgram(args)).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
    }
  });

  it('prints help on stdout, with every command, the limits and the exit statuses', async () => {
    const { status, stdout, stderr } = await runProgram(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const word of [
      'serve',
      'parse',
      'driver',
      'image',
      'status',
      'instances',
      '--max-content-bytes',
      'Exit status',
    ]) {
      expect(stdout).toContain(word);
    }
    expect(await runProgram(['help'])).toMatchObject({ status: 0, stdout });
  });

  it('prints help for a command with its own options and those of every command, without the limits', async () => {
    const { status, stdout } = await runProgram(['driver', 'install', '--help']);
    expect(status).toBe(0);
    for (const word of ['--update', '--force', '--root', 'REFERENCE']) expect(stdout).toContain(word);
    expect(stdout).not.toContain('--max-content-bytes');
  });

  it('prints the same help for a command that is named after help', async () => {
    const pairs = [
      [
        ['help', 'parse'],
        ['parse', '--help'],
      ],
      [
        ['help', 'driver'],
        ['driver', '--help'],
      ],
      [
        ['--json', 'help', 'driver', 'install'],
        ['driver', 'install', '--help'],
      ],
      [
        ['image', 'help', 'build'],
        ['image', 'build', '--help'],
      ],
    ] as const;
    for (const [asked, command] of pairs) {
      const help = await runProgram(command);
      expect(help).toMatchObject({ status: 0, stderr: '' });
      expect(help.stdout).toMatch(new RegExp(`^Usage: ${['babelhost', ...command.slice(0, -1)].join(' ')} `));
      expect(await runProgram(asked), asked.join(' ')).toEqual(help);
    }
    expect((await runProgram(['help', 'driver', 'install'])).stdout).toContain('--update');
    expect(await wrong('help', 'pars')).toBe("babelhost: Unknown command 'pars' (Did you mean parse?)\n");
    expect(await wrong('help', 'driver', 'instal')).toContain('(Did you mean install?)');
    expect(await wrong('driver', 'help', 'instal')).toContain('(Did you mean install?)');
    expect(await wrong('help', 'driver', 'list', 'more')).toBe("babelhost: 'driver list' has no command 'more'.\n");
    expect(await wrong('help', 'toString')).toContain("Unknown command 'toString'");
  });

  it('without a command says how it is used, on stderr', async () => {
    expect(await wrong()).toContain('Usage: babelhost');
    expect(await wrong('driver')).toContain('Usage: babelhost driver');
  });

  it('suggests the near one for a command or an option that it does not know', async () => {
    expect(await wrong('pars')).toBe("babelhost: Unknown command 'pars' (Did you mean parse?)\n");
    expect(await wrong('driver', 'instal')).toContain('(Did you mean install?)');
    expect(await wrong('parse', '--fromat', 'json', 'x')).toContain('(Did you mean --format?)');
    expect(await wrong('status', '--rooot', '/tmp')).toContain('(Did you mean --root?)');
  });

  it('names the argument that is missing, and the one that is too much', async () => {
    expect(await wrong('parse')).toContain("argument 'paths'");
    expect(await wrong('driver', 'inspect')).toContain("argument 'language'");
    expect(await wrong('status', 'more')).toContain('Too many arguments');
  });

  it('says what the values of options may be', async () => {
    expect(await wrong('status', '--max-content-bytes', 'many')).toContain('such as 4096, 512K or 64M');
    expect(await wrong('status', '--timeout', '-1')).toContain('It must be a time');
    expect(await wrong('status', '--timeout', '30d')).toContain('It must be a time');
    expect(await wrong('status', '--max-instances', '0')).toContain('whole number from 1 up');
    expect(await wrong('status', '--log-level', 'loud')).toContain('silent');
    expect(await wrong('status', '--connect', '/run/x')).toContain('unix:PATH');
    expect(await wrong('status', '--connect', `unix:/${'x'.repeat(200)}`)).toContain('107 bytes');
  });

  it('refuses options that exclude one another', async () => {
    expect(await wrong('serve', '--stdio', '--listen', 'unix:/tmp/x')).toContain('either --stdio or --listen');
    expect(await wrong('serve', '--connect', 'unix:/tmp/x')).toContain('--connect');
    expect(await wrong('instances', '--kill', 'x', '--kill-all')).toContain('either --kill or --kill-all');
    expect(await wrong('status', '--connect', 'unix:/tmp/x', '--root', '/tmp')).toContain('--root');
    expect(await wrong('status', '--connect', 'unix:/tmp/x', '--max-instances', '2')).toContain('--max-instances');
    expect(await wrong('status', '--connect', 'unix:/tmp/x', '--require', 'memory')).toContain('--require');
    expect(await wrong('status', '--connect', 'unix:/tmp/x', '--store-access', 'owner')).toContain('--store-access');
    expect(await wrong('status', '--store-access', 'group')).toContain('owner, everyone');
  });

  it('tells wrong usage as JSON with --json', async () => {
    const stderr = await wrong('driver', 'inspect', '--json');
    expect(JSON.parse(stderr)).toMatchObject({ error: { data: { kind: 'usage' } } });
  });

  it('says where no host listens, and how to start one', async () => {
    const socket = path.join(await temporaryFolder(), 'none');
    const { status, stdout, stderr } = await runProgram(['status', '--connect', `unix:${socket}`]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain(`babelhost serve --listen unix:${socket}`);
    expect(stderr).toContain('(notFound)');
  });

  it('colours errors on a terminal, and not where NO_COLOR is set', async () => {
    const args = ['status', '--connect', 'unix:/nonexistent/socket'];
    const plain = { NO_COLOR: '1', FORCE_COLOR: undefined };
    expect((await runOnTerminal(args, { environment: { NO_COLOR: undefined } })).stdout).toContain(
      '\u001b[31mbabelhost:',
    );
    expect((await runOnTerminal(args, { environment: plain })).stdout).not.toContain('\u001b[31m');
    expect((await runProgram(args, { environment: { NO_COLOR: undefined } })).stderr).not.toContain('\u001b');
  });
});

describe('--store-access', () => {
  it('opens the store to everyone, as the environment does, until a command goes without', async () => {
    const root = path.join(await temporaryFolder(), 'root');
    const modeAfter = async (args: string[], environment = {}) => {
      expect(await runProgram(['driver', 'list', '--root', root, ...args], { environment })).toMatchObject({
        status: 0,
      });
      return (await stat(root)).mode & 0o777;
    };
    expect(await modeAfter([])).toBe(0o700);
    expect(await modeAfter(['--store-access', 'everyone'])).toBe(0o711);
    expect(await modeAfter([])).toBe(0o700);
    expect(await modeAfter([], { BABELHOST_STORE_ACCESS: 'everyone' })).toBe(0o711);
    expect(await modeAfter(['--store-access', 'owner'], { BABELHOST_STORE_ACCESS: 'everyone' })).toBe(0o700);
  });
});
