// The environment that an image gives its processes.
import type { ImageConfig } from './documents.ts';

/** The variables by their names; one without `=` is empty. */
export function environmentOf({ env }: Pick<ImageConfig, 'env'>): Record<string, string> {
  return Object.fromEntries(
    env.map((text) => {
      const equals = text.indexOf('=');
      return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}
