// Parses one source: finds its language and the driver for it, and sends it through the driver's pool. The tree stays bytes.
import { BabelhostError, isBabelhostError } from '../../base/errors.ts';
import type { Driver, InstalledDrivers } from '../installed/installed-drivers.ts';
import { detectLanguages } from './detection.ts';
import { answerToEmpty, contentFor } from './driver-content.ts';
import { FileBudget, FileReservation } from './file-budget.ts';
import type { DriverLimits } from '../limits.ts';
import {
  encodeRequest,
  type AnswerMemory,
  type Encoding,
  type NativeAnswer,
  type SourceError,
} from '../process/native-protocol.ts';
import type { ParseObserver, TraceSpan } from '../observer.ts';
import type { Pools } from '../pool/pools.ts';
import { waitingFromNow, type RequestTiming } from '../request.ts';
import type { Priority, ClientQueue } from '../pool/request-queue.ts';
import { LargeSources } from './large-sources.ts';
import { SharedRequests } from './shared-requests.ts';
import { givenSource, readSource, type Source } from './source-file.ts';

export type Mode = 'native' | 'preprocessed' | 'annotated' | 'semantic';

export interface ParseRequest {
  readonly source: { readonly content: string } | { readonly uri: string };
  readonly encoding?: Encoding | undefined;
  readonly language?: string | undefined;
  readonly filename?: string | undefined;
  readonly mode?: Mode | undefined;
  readonly timeoutMs?: number | undefined;
  readonly queueTimeoutMs?: number | undefined;
  readonly client: ClientQueue;
  readonly priority: Priority;
  /** What the log calls the request. */
  readonly id?: string | undefined;
  readonly span?: TraceSpan | undefined;
}

export interface ParseAnswer {
  /** The driver's language. */
  readonly language: string;
  readonly mode: Mode;
  readonly status: 'ok' | 'error';
  readonly errors: readonly SourceError[];
  readonly driver: Driver;
  readonly elapsedMs: number;
  /** JSON in UTF-8. */
  readonly ast: readonly Uint8Array[];
  readonly memory: AnswerMemory;
  /** Of the source, in bytes. */
  readonly contentBytes: number;
}

export class Parser {
  readonly #drivers: InstalledDrivers;
  readonly #pools: Pools;
  readonly #limits: DriverLimits;
  readonly #largeSources = new LargeSources();
  readonly #shared = new SharedRequests<NativeAnswer>(({ memory }) => {
    memory.share();
  });
  readonly #fileBudgets = new WeakMap<ClientQueue, FileBudget>();
  readonly #observer: ParseObserver | undefined;

  constructor(drivers: InstalledDrivers, pools: Pools, limits: DriverLimits, observer?: ParseObserver) {
    this.#observer = observer;
    this.#drivers = drivers;
    this.#pools = pools;
    this.#limits = limits;
  }

  /**
   * Parses one source.
   * @throws BabelhostError as the method `parse` lists them; CancelledError
   */
  async parse(request: ParseRequest, signal?: AbortSignal): Promise<ParseAnswer> {
    const startedAt = performance.now();
    const { timeoutMs = this.#limits.timeoutMs, queueTimeoutMs = this.#limits.queueTimeoutMs } = request;
    const timing = waitingFromNow({ timeoutMs, queueTimeoutMs });
    const { mode = 'native' } = request;
    let driver: Driver | undefined;
    let parsed: ParseAnswer | undefined;
    try {
      this.#pools.getReady();
      const loaded = await this.#load(request, timing, signal);
      const { source } = loaded;
      using reservation = loaded.reservation;
      this.#largeSources.count(source.contentBytes);
      request.span?.annotate({ 'babelhost.content_bytes': source.contentBytes });
      const found = await this.#driverFor(request, source);
      driver = found.driver;
      let triedAgain = false;
      let answer: NativeAnswer | undefined;
      while (answer === undefined) {
        checkMode(mode, driver);
        answer = answerToEmpty(source, driver);
        if (answer !== undefined) break;
        const { content, encoding } = contentFor(source, driver);
        const line = encodeRequest({ content, encoding, filename: source.filename }, found.asked, driver.manifest);
        // A string has two bytes at most for each character.
        const bytes = typeof source.content === 'string' ? 0 : source.contentBytes;
        reservation?.set(bytes + 2 * content.length + line.length);
        try {
          answer = await this.#ask(driver, line, request, timing, signal);
        } catch (error) {
          if (!this.#wasReplaced(driver, error)) throw error;
          this.#pools.abandon(driver);
          const replacement = await this.#drivers.replacementOf(driver);
          // The very same image may be back, as where it was removed and installed again.
          if (replacement === undefined && triedAgain) throw error;
          triedAgain = true;
          driver = replacement ?? driver;
        }
      }
      const { ast, memory } = answer;
      const { status, errors } = judge(answer, driver);
      const { contentBytes } = source;
      const elapsedMs = performance.now() - startedAt;
      parsed = { language: driver.language, mode, status, errors, driver, elapsedMs, ast, memory, contentBytes };
      return parsed;
    } finally {
      this.#observer?.parsed({
        language: driver?.language,
        image: driver?.digest,
        milliseconds: performance.now() - startedAt,
        ...(parsed !== undefined && { contentBytes: parsed.contentBytes }),
        failed: parsed === undefined,
      });
    }
  }

  /** @returns the source; and where it is a file, what it holds of the client's budget, to be disposed of */
  async #load(
    request: ParseRequest,
    timing: RequestTiming,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly source: Source; readonly reservation?: FileReservation }> {
    const { source, client } = request;
    const { contentBytes } = this.#limits;
    if ('content' in source) return { source: givenSource(source.content, request, contentBytes) };
    const budget = this.#fileBudgets.get(client) ?? new FileBudget();
    this.#fileBudgets.set(client, budget);
    const reservation = new FileReservation(budget, timing, signal);
    try {
      return { source: await readSource(source.uri, request, contentBytes, reservation), reservation };
    } catch (error) {
      reservation[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether a request failed only because its driver's image was replaced or removed since it was looked up. */
  #wasReplaced(driver: Driver, error: unknown): boolean {
    // By another process: the image was gone before an instance had started.
    if (isBabelhostError(error, 'imageNotFound')) return error.data['image'] === driver.digest;
    // By this one: a request that outlives the parse that it shared asks a pool that has finished meanwhile.
    return isBabelhostError(error, 'shuttingDown') && !this.#pools.ending;
  }

  /** Has a driver's pool parse, unless the same is being parsed already. */
  #ask(
    driver: Driver,
    line: Buffer,
    { client, priority, id, span }: ParseRequest,
    timing: RequestTiming,
    signal: AbortSignal | undefined,
  ): Promise<NativeAnswer> {
    span?.annotate({ 'babelhost.language': driver.language });
    const pool = this.#pools.of(driver);
    const asked = { of: `${driver.digest} ${priority}`, line };
    return this.#shared.run(asked, { client, timing, signal }, (given) =>
      pool.request({ ...given, line, client, priority, id, span }),
    );
  }

  /** The language asked for, or detected, and the driver for it. */
  async #driverFor({ language }: ParseRequest, source: Source): Promise<{ asked: string; driver: Driver }> {
    if (language !== undefined) return { asked: language.toLowerCase(), driver: await this.#drivers.find(language) };
    const { text: content, filename } = source;
    const startedAt = performance.now();
    const candidates = await detectLanguages({ content, ...(filename !== undefined && { filename }) });
    this.#observer?.detected(candidates[0], performance.now() - startedAt);
    for (const candidate of candidates) {
      const driver = await this.#drivers.lookUp([candidate]);
      if (driver !== undefined) return { asked: candidate, driver };
    }
    const [likeliest] = candidates;
    if (likeliest !== undefined) return { asked: likeliest, driver: await this.#drivers.find(likeliest) };
    throw new BabelhostError(
      'languageNotDetected',
      `The language of ${filename ?? 'the source'} could not be told from its name and content; name it (language).`,
      { ...(filename !== undefined && { filename }) },
    );
  }
}

function checkMode(mode: Mode, { language }: Driver): void {
  if (mode === 'native') return;
  throw new BabelhostError(
    'modeNotSupported',
    `The ${language} driver gives the mode 'native' only, not '${mode}'; leave the mode out.`,
    { language, mode, supported: ['native'] },
  );
}

/** @throws BabelhostError `driverFailed` for `fatal`, the driver's own failure on a request */
function judge({ status, errors }: NativeAnswer, { language }: Driver): Pick<ParseAnswer, 'status' | 'errors'> {
  if (status !== 'fatal') return { status, errors };
  const reason = errors.map((error) => error.message).join('; ') || 'it gave no reason';
  throw new BabelhostError('driverFailed', `The ${language} driver could not handle the request: ${reason}.`, {
    language,
    errors,
  });
}
