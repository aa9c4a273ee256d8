// The lifecycle of a connection, as in LSP 3.17; all of it is optional.
import { z } from 'zod';
import { method } from './method.ts';

export const lifecycleMethods = {
  initialize: method({
    summary: 'Says hello, as an editor does. Optional: every method works without it.',
    description: 'With `processId`, the host ends by itself when that process does. A second one is refused (-32600).',
    params: () =>
      z.looseObject({
        processId: z.int().positive().nullish().describe('The process whose end ends the host.'),
        clientInfo: z.looseObject({ name: z.string(), version: z.string().optional() }).optional(),
        trace: z.enum(['off', 'messages', 'verbose', 'compact']).optional(),
      }),
    result: () =>
      z.object({
        capabilities: z.object({
          experimental: z.object({
            methods: z.array(z.string()).describe('The methods of this host; `rpc.discover` describes them.'),
          }),
        }),
        serverInfo: z.object({ name: z.string(), version: z.string() }),
      }),
    errors: [],
  }),
  shutdown: method({
    summary: 'Stops taking requests and finishes those in flight; then only `exit` is accepted.',
    params: () => z.looseObject({}),
    result: () => z.null(),
    errors: [],
  }),
  'rpc.discover': method({
    summary: 'The OpenRPC document of all methods.',
    params: () => z.looseObject({}),
    result: () => z.looseObject({ openrpc: z.string() }),
    errors: [],
  }),
};
