// What the commands that move images have in common: references and credentials as a person gives them, and a bar for each
// layer.
import path from 'node:path';
import type { Command } from 'commander';
import type { MethodName, Params, Result } from '../protocol/methods.ts';
import type { Context } from './command.ts';
import { UsageError } from './failure.ts';
import { ProgressDisplay, TransferBars } from './progress.ts';
import { readStandardInput } from './standard-input.ts';

/** The methods that report how far each layer is. */
type TransferMethod = Extract<MethodName, 'driver/install' | `image/${'build' | 'pull' | 'push'}`>;

/** Sends a request and shows its progress until it is answered. */
export async function transfer<Name extends TransferMethod>(
  { global, signal, session }: Context,
  method: Name,
  params: Params<Name>,
): Promise<Result<Name>> {
  const opened = await session();
  const bars = new TransferBars();
  using display = new ProgressDisplay(!global.json, opened);
  display.show(() => bars.lines(display.columns));
  return await opened.client.request(method, params, {
    signal,
    onProgress: (progress) => {
      bars.update(progress);
    },
  });
}

/** The reference with its path made absolute, where its transport has one: the host may run in another folder. */
export function absoluteReference(reference: string): string {
  const transport = ['oci:', 'oci-archive:', 'docker-archive:'].find((prefix) => reference.startsWith(prefix));
  if (transport === undefined) return reference;
  const rest = reference.slice(transport.length);
  // The host refuses an empty path and says what it should be.
  return rest === '' ? reference : transport + path.resolve(rest);
}

/** As docker login and skopeo have them. A password is never an argument, which every user could read in /proc. */
export interface CredentialOptions {
  readonly username?: string;
  readonly passwordStdin?: true;
}

/** The longest password that the protocol accepts, in characters; tokens of registries have a few thousand. */
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
): Promise<Pick<Params<'image/pull'>, 'credentials'>> {
  if (username === undefined && passwordStdin === undefined) return {};
  if (username === undefined || passwordStdin === undefined) {
    throw new UsageError('--username and --password-stdin go together.');
  }
  if (username === '') throw new UsageError('--username is empty.');
  if (process.stdin.isTTY) {
    throw new UsageError('--password-stdin reads the password from a pipe or a file, not from a terminal.');
  }
  const tooLong = () => new UsageError(`--password-stdin: a password has at most ${longestPassword} characters.`);
  // A character of UTF-8 has four bytes at most. The end of the line is what echo writes after the password.
  const text = (await readStandardInput(4 * longestPassword, tooLong, signal)).toString('utf8').replace(/\r?\n$/, '');
  if (text.length > longestPassword) throw tooLong();
  if (text === '') throw new UsageError('--password-stdin: there is no password on stdin.');
  return { credentials: { username, password: text } };
}
