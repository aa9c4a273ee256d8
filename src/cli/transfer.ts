// Requests that move images: a bar for each layer on a terminal while one is worked on.
import type { MethodName, Params, Result } from '../protocol/methods.ts';
import type { Context } from './command.ts';
import { ProgressDisplay, TransferBars } from './progress.ts';

/** The methods that report how far each layer is. */
export type TransferMethod = Extract<MethodName, 'driver/install' | `image/${'build' | 'pull' | 'push'}`>;

/** Sends a request and shows how far it is, until it is answered. */
export async function transfer<Name extends TransferMethod>(
  { global, signal, session }: Pick<Context, 'global' | 'signal' | 'session'>,
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
