// The call by which editors and pipelines start a host, `serve --stdio` with at most a root, a runtime and a level of the
// log, read without commander: making its tree takes a tenth of the time in which a host starts. Whatever else there is
// in the arguments or the environment, and every mistake, is commander's to read.
import { environmentVariables, logLevels, type GlobalOptions } from './options.ts';

const names = { '--root': 'root', '--runtime': 'runtime', '--log-level': 'logLevel' } as const;

/** @returns the options of a plain call; undefined for any other call */
export function readPlainServe(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): GlobalOptions | undefined {
  if (args[0] !== 'serve' || environmentVariables.some((name) => environment[name] !== undefined)) return undefined;
  const found: { root?: string; runtime?: string; logLevel?: GlobalOptions['logLevel'] } = {};
  for (let index = 1; index < args.length; index += 1) {
    const arg = args[index] ?? '';
    if (arg === '--stdio') continue;
    const name = Object.hasOwn(names, arg) ? names[arg as keyof typeof names] : undefined;
    index += 1;
    const value = args[index] ?? '';
    if (name === undefined || value === '' || value.startsWith('-')) return undefined;
    if (name !== 'logLevel') found[name] = value;
    else {
      const level = logLevels.find((each) => each === value);
      if (level === undefined) return undefined;
      found.logLevel = level;
    }
  }
  const { root, runtime, logLevel } = found;
  return {
    ...(root !== undefined && { root }),
    ...(runtime !== undefined && { runtime }),
    ...(logLevel !== undefined && { logLevel }),
    json: false,
    limits: {},
  };
}
