// What may be wrong with a frame, and with a message that is JSON.

/** Why a frame was not taken. `id` is the request's, where one could be found. */
export type FrameFault =
  | { readonly kind: 'header'; readonly message: string }
  | { readonly kind: 'syntax'; readonly message: string; readonly id: null }
  | { readonly kind: 'invalid'; readonly message: string; readonly id: string | number | null }
  | { readonly kind: 'tooLarge'; readonly length: number; readonly limit: number; readonly id: string | number | null };

/** Why a value is neither request, notification nor response (JSON-RPC 2.0, sections 4 and 5). */
export function invalidity(message: unknown): FrameFault | undefined {
  if (Array.isArray(message)) {
    // LSP does without batches, and so do we: a frame costs nothing here.
    return {
      kind: 'invalid',
      message: 'Batches are not supported: send each request in a frame of its own.',
      id: null,
    };
  }
  if (typeof message !== 'object' || message === null) {
    return { kind: 'invalid', message: 'The message is not an object.', id: null };
  }
  const { id, method, params } = message as Record<string, unknown>;
  const known = typeof id === 'string' || typeof id === 'number' ? id : null;
  if (method === undefined && ('result' in message || 'error' in message)) return undefined;
  if (typeof method !== 'string') return { kind: 'invalid', message: 'The message has no method.', id: known };
  if ('id' in message && known === null) {
    return { kind: 'invalid', message: 'The id of a request must be a string or a number.', id: null };
  }
  if (params !== undefined && params !== null && typeof params !== 'object') {
    return { kind: 'invalid', message: 'The params must be an object.', id: known };
  }
  return undefined;
}
