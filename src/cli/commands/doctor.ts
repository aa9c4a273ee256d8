// doctor: what this machine can do, what is weaker or missing, what is left in the store, and the command that mends it.
// The only command without a host: it must answer where none can start.
import path from 'node:path';
import type { Finding, MachineReport } from '../../host.ts';
import type { CommandModule, Context } from '../command.ts';
import { onOneLine, type Style } from '../text.ts';

const looks = {
  ok: { mark: '✓', format: 'green' },
  weaker: { mark: '!', format: 'yellow' },
  missing: { mark: '✗', format: 'red' },
} as const;

const command: CommandModule = {
  configure(command) {
    command.addHelpText('after', '\nExit status: 0 where babelhost can run here, if weaker; 1 where it cannot.');
  },

  async run({ global, output }) {
    const { defaultRoot, examineMachine, examineStore } = await import('../../host.ts');
    const { root, runtime, require } = global.host;
    const { findings, isolation } = await examineMachine(runtime, require);
    const store = await examineStore(path.resolve(root ?? defaultRoot()), runtime);
    const report = { findings: [...findings, ...store], isolation };
    const able = report.findings.every(({ state }) => state !== 'missing');
    if (global.json) output.json({ able, ...report });
    else print(report, able, output);
    return able ? 0 : 1;
  },
};

export default command;

function print({ findings, isolation }: MachineReport, able: boolean, output: Context['output']): void {
  const { style } = output;
  output.write(`${style('bold', 'This machine')}\n`);
  const width = Math.max(...[...findings, ...isolation.items].map(({ name }) => name.length));
  for (const finding of findings) output.write(findingText(finding, width, style));
  output.write(`\n${style('bold', `Isolation of drivers with ${onOneLine(isolation.runtime)}`)}\n`);
  for (const { name, enforced, by, reason } of isolation.items) {
    const state = enforced === 'yes' ? 'ok' : enforced === 'no' ? 'missing' : 'weaker';
    const found = [by, reason].filter((text) => text !== undefined && text !== '').join(': ');
    output.write(findingText({ name, state, found: found === '' ? 'not enforced' : found }, width, style));
  }
  output.write(`\n${verdict(able, style)}\n`);
}

function findingText({ name, state, found, mend }: Finding, width: number, style: Style): string {
  const { mark, format } = looks[state];
  const line = `  ${style(format, `${mark} ${state.padEnd(7)}`)}  ${name.padEnd(width)}  ${onOneLine(found)}\n`;
  return mend === undefined ? line : `${line}${' '.repeat(width + 15)}mend it: ${style('bold', onOneLine(mend))}\n`;
}

function verdict(able: boolean, style: Style): string {
  return able
    ? style('green', 'babelhost can run here.')
    : style('red', 'babelhost cannot run here: see what is missing.');
}
