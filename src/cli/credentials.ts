// Credentials for a registry as a person gives them to one command: --username and --password-stdin, as docker login and
// skopeo have them. A password is never an argument, which every user of the machine could read in /proc.
import type { Command } from 'commander';
import type { Params } from '../protocol/methods.ts';
import { UsageError } from './failure.ts';

export interface CredentialOptions {
  readonly username?: string;
  readonly passwordStdin?: true;
}

type Credentials = NonNullable<Params<'image/pull'>['credentials']>;

/** As the protocol takes it at most, in characters; tokens of registries have a few thousand. */
const longestPassword = 65_536;

export function declareCredentials(command: Command): void {
  command
    .option('--username <name>', 'who you are to the registry, in place of what docker or podman login have stored')
    .option('--password-stdin', 'read the password from stdin');
}

/**
 * The credentials of a call, as its `credentials` parameter; nothing where none are given.
 * @throws UsageError
 */
export async function readCredentials(
  { username, passwordStdin }: CredentialOptions,
  signal: AbortSignal,
): Promise<{ readonly credentials?: Credentials }> {
  if (username === undefined && passwordStdin === undefined) return {};
  if (username === undefined || passwordStdin === undefined) {
    throw new UsageError('--username and --password-stdin go together.');
  }
  if (username === '') throw new UsageError('--username is empty.');
  if (process.stdin.isTTY) {
    throw new UsageError('--password-stdin reads the password from a pipe or a file, not from a terminal.');
  }
  const password = await readPassword(signal);
  if (password === '') throw new UsageError('--password-stdin: there is no password on stdin.');
  return { credentials: { username, password } };
}

async function readPassword(signal: AbortSignal): Promise<string> {
  let text = '';
  const stop = (): void => {
    process.stdin.destroy();
  };
  signal.addEventListener('abort', stop);
  try {
    for await (const piece of process.stdin.setEncoding('utf8') as AsyncIterable<string>) {
      text += piece;
      if (text.length > longestPassword) {
        throw new UsageError(`--password-stdin: a password has at most ${longestPassword} characters.`);
      }
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
  signal.throwIfAborted();
  // The end of the line that echo writes after it.
  return text.replace(/\r?\n$/, '');
}
