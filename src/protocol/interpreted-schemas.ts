// How schemas are checked in a program that starts for each use of it. A library must not decide that: it is zod's own
// setting, for all who use zod in the process. Imports zod only.
import { config } from 'zod';

/**
 * Has zod walk each schema rather than make a function of its text at the first use, which takes longer than it saves in
 * a thousand uses.
 */
export function interpretSchemas(): void {
  config({ jitless: true });
}
