// Commands that take several names: one after another, and one that fails does not stop the others.
import type { Context, ExitStatus } from './command.ts';
import { errorObject, printFailure } from './failure.ts';

/**
 * Does a command's work for each of several names. With --json, prints all results as a list.
 * @param list the list's name in JSON
 * @param key the member in JSON that has an element's name
 * @param work does it and prints it for people
 * @returns the exit status: 1 where any failed
 * @throws what `work` throws, once the user has interrupted
 */
export async function forEachName(
  { global, signal, output }: Context,
  { list, key }: { readonly list: string; readonly key: string },
  names: readonly string[],
  work: (name: string, index: number) => Promise<object>,
): Promise<ExitStatus> {
  const results: object[] = [];
  let status: ExitStatus = 0;
  for (const [index, name] of names.entries()) {
    try {
      results.push({ [key]: name, ...(await work(name, index)) });
    } catch (error) {
      if (signal.aborted) throw error;
      status = 1;
      printFailure(error, global.json);
      results.push({ [key]: name, error: errorObject(error) });
    }
  }
  if (global.json) output.json({ [list]: results });
  return status;
}
