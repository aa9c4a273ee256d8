// The version of babelhost, read from package.json, which stands two levels up from dist/ and src/ alike.
import { createRequire } from 'node:module';

const manifest = createRequire(import.meta.url)('../package.json') as { version: string };

export const version: string = manifest.version;
