// What each method does: a thin layer between the table's types and the rooms below, in a file for each group of methods.
import { lazy } from '../../base/lazy.ts';
import { openRpcDocument } from '../openrpc.ts';
import type { MethodName } from '../methods.ts';
import { containerHandlers } from './container.ts';
import { driverHandlers } from './driver.ts';
import type { Handlers } from './handler.ts';
import { hostHandlers } from './host.ts';
import { imageHandlers } from './image.ts';
import { parseHandlers } from './parse.ts';

/** All methods but those of a connection's own lifecycle, which the server handles itself. */
export const handlers: Handlers<Exclude<MethodName, 'initialize' | 'shutdown'>> = {
  // Making it takes longer than answering most requests: a client that asks without end would hold up the others.
  'rpc.discover': lazy(() => openRpcDocument()),
  ...hostHandlers,
  ...driverHandlers,
  ...parseHandlers,
  ...imageHandlers,
  ...containerHandlers,
};
