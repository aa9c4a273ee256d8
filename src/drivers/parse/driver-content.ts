// What a driver is given of a source. A driver that ignores the encoding of a request would parse base64 as if that were the
// source, and one may fail on a source that is empty: each gets of these what its manifest says that it reads.
import { isUtf8 } from 'node:buffer';
import { BabelhostError } from '../../base/errors.ts';
import type { Driver } from '../installed/installed-drivers.ts';
import { contentFeatures } from '../installed/manifest.ts';
import { AnswerMemory, type NativeAnswer, type NativeRequest } from '../process/native-protocol.ts';
import type { Source } from './source-file.ts';

/**
 * A source as its driver reads it: as text, or in base64 where it was asked for so and the driver reads that.
 * @throws BabelhostError `invalidEncoding` where it is not UTF-8 and the driver is to read text
 */
export function contentFor(source: Source, driver: Driver): Pick<NativeRequest, 'content' | 'encoding'> {
  const { content, encoding } = source;
  if (typeof content === 'string') return { content, encoding: 'utf8' };
  if (encoding === 'base64' && readsBase64(driver)) return { content: content.toString('base64'), encoding };
  if (isUtf8(content)) return { content: content.toString(), encoding: 'utf8' };
  throw notUtf8(source, driver);
}

/** The host's own answer to a source of no bytes, as Babelfish's server gave it; undefined where the driver is to be asked. */
export function answerToEmpty({ contentBytes }: Source, { manifest }: Driver): NativeAnswer | undefined {
  if (contentBytes > 0 || manifest.features.includes(contentFeatures.empty)) return undefined;
  return { status: 'ok', errors: [], ast: [Buffer.from('null')], memory: new AnswerMemory([]) };
}

function readsBase64({ manifest }: Driver): boolean {
  return manifest.features.includes(contentFeatures.base64);
}

function notUtf8({ file, encoding }: Source, driver: Driver): BabelhostError {
  const { language } = driver;
  const mend = readsBase64(driver)
    ? `convert it, or ask with encoding "base64" (parse --encoding base64), which hands its bytes to the ${language} driver`
    : `convert it: the ${language} driver reads nothing else`;
  return new BabelhostError('invalidEncoding', `${file?.path ?? 'The source'} is not UTF-8; ${mend}.`, {
    ...(file !== undefined && { uri: file.uri }),
    encoding,
    language,
  });
}
