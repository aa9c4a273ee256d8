// Commands that take several names: each is done in its turn, and one that fails does not keep the others from it.
import type { Context, ExitStatus } from './command.ts';
import { errorObject, printFailure } from './failure.ts';

/**
 * Does a command's work for each of several things, and prints what became of all of them where --json asks for it.
 * @param title of the list in JSON
 * @param nameOf what JSON calls a thing
 * @param work does it and prints it for people
 * @returns the exit status: 1 where any failed
 * @throws what `work` throws, once the user has interrupted
 */
export async function forEachName<Thing>(
  { global, signal, output }: Pick<Context, 'global' | 'signal' | 'output'>,
  title: string,
  things: readonly Thing[],
  nameOf: (thing: Thing) => object,
  work: (thing: Thing) => Promise<object>,
): Promise<ExitStatus> {
  const results: object[] = [];
  let status: ExitStatus = 0;
  for (const thing of things) {
    try {
      results.push({ ...nameOf(thing), ...(await work(thing)) });
    } catch (error) {
      if (signal.aborted) throw error;
      status = 1;
      printFailure(error, global.json);
      results.push({ ...nameOf(thing), error: errorObject(error) });
    }
  }
  if (global.json) output.json({ [title]: results });
  return status;
}
