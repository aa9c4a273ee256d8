// A manifest as babelhost keeps it in drivers.json and sends it to clients; manifest.ts reads the image's own form.
import { z } from 'zod';
import { lazy } from '../../base/lazy.ts';
import { runLimitsSchema } from './run-limits.ts';

export const keptManifest = lazy(() => {
  const text = z.string();
  const texts = z.array(text);
  const optionalText = text.optional();
  return z.object({
    name: text,
    language: text,
    aliases: texts,
    version: optionalText,
    status: optionalText,
    features: texts,
    documentation: optionalText,
    limits: runLimitsSchema().optional().describe('What it asks for; it can only have less than the defaults.'),
  });
});
