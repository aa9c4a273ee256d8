// Parses many files, of a folder or a list, several at once, and hands on each result as it is done. Every file gets a
// result or an error. A slow receiver slows the work down, so that nothing piles up.
import path from 'node:path';
import { textOfPath, uriOfPath } from '../../base/byte-paths.ts';
import { BabelhostError, isBabelhostError } from '../../base/errors.ts';
import type { InstalledDrivers } from '../installed/installed-drivers.ts';
import { detectLanguages } from './detection.ts';
import type { TraceSpan } from '../observer.ts';
import { OutcomeBatches } from './outcome-batches.ts';
import type { Mode, ParseAnswer, Parser } from './parser.ts';
import type { ClientQueue } from '../pool/request-queue.ts';
import { walk, type WalkOptions, type WalkRequest } from '../walk/walk.ts';
import type { WalkWarning } from '../walk/rule-files.ts';
import { pathOfUri } from './source-file.ts';

export interface FilesRequest {
  /** A folder to walk, or the files themselves. */
  readonly from: Omit<WalkRequest, 'folder'> | { readonly uris: readonly string[] };
  readonly language?: string;
  readonly mode?: Mode;
  readonly timeoutMs?: number;
  readonly queueTimeoutMs?: number;
  readonly client: ClientQueue;
  /** What the log calls the request. */
  readonly id?: string;
  readonly span?: TraceSpan;
}

export type FileOutcome =
  { readonly uri: string; readonly answer: ParseAnswer } | { readonly uri: string; readonly error: BabelhostError };

export interface FilesSummary {
  files: number;
  ok: number;
  error: number;
  failed: number;
  failures: Record<string, number>;
  skipped: number;
  skippedLanguages: Record<string, number>;
  ignored: number;
  warnings: WalkWarning[];
  bytes: number;
  elapsedMs: number;
}

export interface FilesOptions {
  /** How many files are in work at once: enough that no instance waits for its next. */
  readonly concurrency: number;
  readonly signal?: AbortSignal;
  /** Receives the outcomes, several at once where they are small; the work waits while it is pending. */
  readonly onOutcomes: (outcomes: readonly FileOutcome[]) => Promise<void>;
  /** Called after each file: how many are done, and how many there are where that is known. */
  readonly onProgress: (done: number, total: number | undefined) => void;
}

/** A hostile tree may deserve any number of them. */
const mostWarnings = 100;

/**
 * Parses many files.
 * @throws BabelhostError `notFound` where the folder cannot be read; CancelledError
 */
export async function parseFiles(
  parser: Parser,
  drivers: InstalledDrivers,
  request: FilesRequest,
  options: FilesOptions,
): Promise<FilesSummary> {
  const startedAt = performance.now();
  const summary: FilesSummary = {
    files: 0,
    ok: 0,
    error: 0,
    failed: 0,
    failures: {},
    skipped: 0,
    skippedLanguages: {},
    ignored: 0,
    warnings: [],
    bytes: 0,
    elapsedMs: 0,
  };
  const { from } = request;
  // In a folder, most files are no source for an installed driver: their names tell before they are read.
  const skips = 'uris' in from || request.language !== undefined ? undefined : new SkipByName(drivers);
  const skip = (language: string): void => {
    summary.skipped += 1;
    summary.skippedLanguages[language] = (summary.skippedLanguages[language] ?? 0) + 1;
  };
  let total = 'uris' in from ? from.uris.length : undefined;
  /** Files that only their content showed to be no source for a driver: they are part of the total. */
  let skippedLate = 0;
  const batches = new OutcomeBatches(options.onOutcomes);
  const ended = new AbortController();
  // A second walk counts the files ahead of the work, for the progress.
  if (total === undefined) {
    void count(listFiles(from, { signal: ended.signal }), skips, ended.signal).then((counted) => {
      total = counted;
    });
  }
  const one = async (uri: string): Promise<void> => {
    const skippedAs = await skips?.languageWithoutDriver(uri);
    if (skippedAs !== undefined) {
      skip(skippedAs);
      return;
    }
    const outcome = await parseOne(parser, uri, request, options.signal);
    if ('answer' in outcome) {
      summary[outcome.answer.status] += 1;
      summary.bytes += outcome.answer.contentBytes;
    } else if (skips !== undefined && isBabelhostError(outcome.error, 'languageNotDetected', 'driverNotInstalled')) {
      const language = outcome.error.data['language'];
      skip(typeof language === 'string' ? language : '');
      skippedLate += 1;
      return;
    } else {
      summary.failed += 1;
      summary.failures[outcome.error.kind] = (summary.failures[outcome.error.kind] ?? 0) + 1;
    }
    summary.files += 1;
    await batches.add(outcome, bytesOf(outcome));
    options.onProgress(summary.files, total === undefined ? undefined : total - skippedLate);
  };
  let unlisted = 0;
  const walking: WalkOptions = {
    signal: options.signal,
    onWarning: (warning) => {
      if (summary.warnings.length < mostWarnings) summary.warnings.push(warning);
      else unlisted += 1;
    },
    onIgnored: () => (summary.ignored += 1),
  };
  try {
    await forEachConcurrently(listFiles(from, walking), options.concurrency, one);
    await batches.end();
  } finally {
    batches.drop();
    ended.abort();
  }
  if (unlisted > 0 && 'root' in from) {
    summary.warnings.push({ uri: from.root, message: `${unlisted} more warnings are not listed.` });
  }
  summary.elapsedMs = performance.now() - startedAt;
  return summary;
}

/** How many files there are to parse, as far as their names tell; undefined where that cannot be counted. */
async function count(
  files: AsyncIterable<string>,
  skips: SkipByName | undefined,
  signal: AbortSignal,
): Promise<number | undefined> {
  let counted = 0;
  try {
    for await (const uri of files) {
      if (signal.aborted) return undefined;
      if ((await skips?.languageWithoutDriver(uri)) === undefined) counted += 1;
    }
  } catch {
    // The walk for the work fails for the same reason, and with its error.
    return undefined;
  }
  return counted;
}

async function parseOne(
  parser: Parser,
  uri: string,
  request: FilesRequest,
  signal: AbortSignal | undefined,
): Promise<FileOutcome> {
  const { language, mode, timeoutMs, queueTimeoutMs, client, id, span } = request;
  const asked = { source: { uri }, language, mode, timeoutMs, queueTimeoutMs };
  try {
    const answer = await parser.parse({ ...asked, client, priority: 'batch', id, span }, signal);
    return { uri, answer };
  } catch (error) {
    if (error instanceof BabelhostError && error.kind !== 'shuttingDown') return { uri, error };
    throw error;
  }
}

/** About how many bytes an outcome takes in a message. */
function bytesOf(outcome: FileOutcome): number {
  const envelope = 500;
  if ('error' in outcome) return envelope;
  const { ast, errors } = outcome.answer;
  return ast.reduce((sum, chunk) => sum + chunk.byteLength, envelope * (1 + errors.length));
}

/** Tells by its name whether a file is in a language without a driver, and remembers that for the extension. */
class SkipByName {
  readonly #drivers: InstalledDrivers;
  readonly #byExtension = new Map<string, Promise<string | undefined>>();

  constructor(drivers: InstalledDrivers) {
    this.#drivers = drivers;
  }

  /** The language of a file that has no driver, `''` where nothing is known of it; undefined where it may be parsed. */
  async languageWithoutDriver(uri: string): Promise<string | undefined> {
    const base = path.posix.basename(textOfPath(pathOfUri(uri)));
    const extension = path.posix.extname(base);
    // Its first line may tell the language.
    if (extension === '') return undefined;
    let known = this.#byExtension.get(extension);
    if (known === undefined) {
      known = this.#judge(base);
      this.#byExtension.set(extension, known);
    }
    return await known;
  }

  async #judge(base: string): Promise<string | undefined> {
    const candidates = await detectLanguages({ filename: `x${path.posix.extname(base)}` });
    if ((await this.#drivers.lookUp(candidates)) !== undefined) return undefined;
    return candidates[0] ?? '';
  }
}

/** The URIs of a list, or of the files below a folder. */
async function* listFiles(from: FilesRequest['from'], options: WalkOptions): AsyncGenerator<string> {
  if ('uris' in from) yield* from.uris;
  else for await (const file of walk({ ...from, folder: pathOfUri(from.root) }, options)) yield uriOfPath(file);
}

/** Runs `work` on every item, at most `concurrency` at once; the first failure stops the rest and is thrown. */
async function forEachConcurrently<T>(
  items: AsyncGenerator<T>,
  concurrency: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  // All loops share one generator: it gives each item to one of them, and one that throws ends it for all.
  const worker = async (): Promise<void> => {
    for await (const item of items) await work(item);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}
