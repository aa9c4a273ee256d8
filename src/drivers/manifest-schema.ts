// A manifest as babelhost keeps it in drivers.json and sends it to clients; manifest.ts reads the image's own form.
import { z } from 'zod';
import { onFirstUse } from '../on-first-use.ts';
import { runLimitsSchema } from './run-limits.ts';

export const keptManifest = onFirstUse(() =>
  z.object({
    name: z.string(),
    language: z.string(),
    aliases: z.array(z.string()),
    version: z.string().optional(),
    status: z.string().optional(),
    features: z.array(z.string()),
    documentation: z.string().optional(),
    limits: runLimitsSchema().optional().describe('What it asks for; it can only have less than the defaults.'),
  }),
);
