// Sources at hand: what a request brings, or the file that it names, held to the limit and to its encoding.
import { isUtf8 } from 'node:buffer';
import { fileURLToPath } from 'node:url';
import { BabelhostError, messageOf } from '../../base/errors.ts';
import type { Encoding } from '../process/native-protocol.ts';
import type { FileReservation } from './file-budget.ts';
import { readSourceFile } from './source-file.ts';

/** A source with what is known of it. */
export interface LoadedSource {
  readonly content: string;
  readonly encoding: Encoding;
  readonly contentBytes: number;
  readonly filename: string | undefined;
  /** The text that its language is detected by: of base64, only the beginning. */
  readonly text: string;
}

/** What a request says of its source. */
interface Described {
  readonly encoding?: Encoding | undefined;
  readonly filename?: string | undefined;
}

export class Sources {
  readonly #limitBytes: number;

  /** @param limitBytes the longest source that is taken */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /**
   * A source that came with its request.
   * @throws BabelhostError `contentTooLarge`, `invalidEncoding`
   */
  given(content: string, { encoding = 'utf8', filename }: Described): LoadedSource {
    const contentBytes = encoding === 'utf8' ? Buffer.byteLength(content) : Buffer.byteLength(content, 'base64');
    this.#checkSize(contentBytes);
    if (encoding === 'base64' && !/^[A-Za-z0-9+/]*={0,2}$/.test(content)) {
      throw new BabelhostError('invalidEncoding', 'The content is not base64 (RFC 4648, section 4).', { encoding });
    }
    return { content, encoding, contentBytes, filename, text: encoding === 'utf8' ? content : headOf(content) };
  }

  /**
   * A file. With `base64`, its bytes need not be UTF-8.
   * @param lease the room that it is to have in memory
   * @throws BabelhostError `notFound`, `contentTooLarge`, `invalidEncoding`; what `lease` throws
   */
  async file(uri: string, described: Described, lease: FileReservation): Promise<LoadedSource> {
    const file = pathOfUri(uri);
    const checkSize = (size: number): void => {
      this.#checkSize(size);
    };
    const bytes = await readSourceFile(file, uri, checkSize, lease);
    const filename = described.filename ?? file;
    if (described.encoding === 'base64') {
      const content = bytes.toString('base64');
      return { content, encoding: 'base64', contentBytes: bytes.length, filename, text: headOf(content) };
    }
    if (!isUtf8(bytes)) {
      throw new BabelhostError(
        'invalidEncoding',
        `${file} is not UTF-8; convert it, or ask with encoding "base64" to hand its bytes to the driver as they are.`,
        { uri, encoding: 'utf8' },
      );
    }
    const content = bytes.toString('utf8');
    return { content, encoding: 'utf8', contentBytes: bytes.length, filename, text: content };
  }

  #checkSize(contentBytes: number): void {
    const limitBytes = this.#limitBytes;
    if (contentBytes <= limitBytes) return;
    throw new BabelhostError(
      'contentTooLarge',
      `The source has ${contentBytes} bytes, more than the limit of ${limitBytes}; raise it (--max-content-bytes) or split the source.`,
      { contentBytes, limitBytes },
    );
  }
}

/** As much of base64 content as detection looks at. */
function headOf(content: string): string {
  return Buffer.from(content.slice(0, 4096), 'base64').toString('latin1');
}

/** The path of a `file:` URI. */
export function pathOfUri(uri: string): string {
  try {
    return fileURLToPath(uri);
  } catch (error) {
    throw new BabelhostError('notFound', `${uri} is no file: URI of this machine: ${messageOf(error)}.`, { uri });
  }
}
