// The method table: every method and notification of the protocol. Server, client, the OpenRPC document and
// docs/protocol.md are derived from it.
import { z } from 'zod';
import { progressToken, type Notification } from './methods/method.ts';
import { containerMethods } from './methods/container.ts';
import { driverMethods } from './methods/driver.ts';
import { hostMethods } from './methods/host.ts';
import { imageMethods } from './methods/image.ts';
import { lifecycleMethods } from './methods/lifecycle.ts';
import { parseMethods, type fileResult } from './methods/parse.ts';

export const methods = {
  ...lifecycleMethods,
  ...hostMethods,
  ...driverMethods,
  ...parseMethods,
  ...imageMethods,
  ...containerMethods,
};

export const notifications = {
  initialized: { sentBy: 'client', summary: 'Follows the answer to `initialize`.', params: () => z.looseObject({}) },
  exit: {
    sentBy: 'client',
    summary: 'Ends the host: status 0 after `shutdown`, 1 without.',
    params: () => z.looseObject({}),
  },
  '$/cancelRequest': {
    sentBy: 'client',
    summary: 'Cancels a request: it is answered with RequestCancelled at once.',
    params: () => z.object({ id: z.union([z.string(), z.int()]) }),
  },
  '$/setTrace': {
    sentBy: 'client',
    summary: 'Whether the host’s log is also sent as `window/logMessage`: `off` or anything else.',
    params: () => z.object({ value: z.enum(['off', 'messages', 'compact', 'verbose']) }),
  },
  '$/progress': {
    sentBy: 'host',
    summary: 'Progress or partial results, on a token that the client made.',
    params: () => z.object({ token: progressToken(), value: z.unknown() }),
  },
  'window/logMessage': {
    sentBy: 'host',
    summary: 'A line of the log: type 1 is an error, 2 a warning, 3 information, 4 debugging.',
    params: () => z.object({ type: z.int(), message: z.string() }),
  },
} satisfies Record<string, Notification>;

export type MethodName = keyof typeof methods;

/** The parameters of a method as a client gives them. */
export type Params<Name extends MethodName> = z.input<ReturnType<(typeof methods)[Name]['params']>>;

/** The parameters of a method as its handler receives them, checked. */
export type CheckedParams<Name extends MethodName> = z.output<ReturnType<(typeof methods)[Name]['params']>>;

/** The result of a method. */
export type Result<Name extends MethodName> = z.output<ReturnType<(typeof methods)[Name]['result']>>;

/** One element of what `parse/files` streams. */
export type FileResult = z.output<ReturnType<typeof fileResult>>;

export type Image = Result<'image/inspect'>;
export type Driver = Result<'driver/inspect'>;
export type PoolStatus = Result<'host/status'>['pools'][number];
export type InstanceStatus = Result<'host/instances'>['instances'][number];
