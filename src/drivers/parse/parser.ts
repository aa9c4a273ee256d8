// Parsing one source: which language, which driver, is it allowed, then through the pool. The tree stays bytes.
import { BabelhostError, isBabelhostError } from '../../base/errors.ts';
import type { Driver, InstalledDrivers } from '../installed/installed-drivers.ts';
import { detectLanguages } from './detection.ts';
import { FileBudget } from './file-budget.ts';
import type { DriverLimits } from '../limits.ts';
import { encodeRequest, type Encoding, type NativeAnswer, type SourceError } from '../process/native-protocol.ts';
import type { ParseObserver, TraceSpan } from '../observer.ts';
import type { Pools } from '../pool/pools.ts';
import type { RequestTiming } from '../request.ts';
import type { Priority, ClientQueue } from '../pool/request-queue.ts';
import { SharedRequests } from './shared-requests.ts';
import { Sources, type LoadedSource } from './sources.ts';

export type Mode = 'native' | 'preprocessed' | 'annotated' | 'semantic';

export interface ParseRequest {
  readonly source: { readonly content: string } | { readonly uri: string };
  readonly encoding?: Encoding | undefined;
  readonly language?: string | undefined;
  readonly filename?: string | undefined;
  readonly mode?: Mode | undefined;
  readonly timeoutMs?: number | undefined;
  /** Who asks, and how urgently. */
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
  /** Of the source, in bytes. */
  readonly contentBytes: number;
}

export class Parser {
  readonly #drivers: InstalledDrivers;
  readonly #pools: Pools;
  readonly #limits: DriverLimits;
  readonly #shared = new SharedRequests<NativeAnswer>();
  readonly #sources: Sources;
  /** What the requests of each client hold of files. */
  readonly #rooms = new WeakMap<ClientQueue, FileBudget>();
  readonly #observer: ParseObserver | undefined;

  constructor(drivers: InstalledDrivers, pools: Pools, limits: DriverLimits, observer?: ParseObserver) {
    this.#observer = observer;
    this.#drivers = drivers;
    this.#pools = pools;
    this.#limits = limits;
    this.#sources = new Sources(limits.contentBytes);
  }

  /**
   * Parses one source.
   * @throws BabelhostError as the method `parse` lists them; CancelledError
   */
  parse(request: ParseRequest, signal?: AbortSignal): Promise<ParseAnswer> {
    const observer = this.#observer;
    return observer === undefined ? this.#parse(request, signal) : this.#observed(observer, request, signal);
  }

  async #observed(
    observer: ParseObserver,
    request: ParseRequest,
    signal: AbortSignal | undefined,
  ): Promise<ParseAnswer> {
    const startedAt = performance.now();
    let driver: Driver | undefined;
    let answer: ParseAnswer | undefined;
    try {
      answer = await this.#parse(request, signal, (found) => {
        driver = found;
      });
      return answer;
    } finally {
      observer.parsed({
        language: driver?.language,
        image: driver?.digest,
        milliseconds: performance.now() - startedAt,
        ...(answer !== undefined && { contentBytes: answer.contentBytes }),
        failed: answer === undefined,
      });
    }
  }

  /** @param onDriver told of the driver that is asked, whatever comes of it */
  async #parse(
    request: ParseRequest,
    signal: AbortSignal | undefined,
    onDriver?: (driver: Driver) => void,
  ): Promise<ParseAnswer> {
    const startedAt = performance.now();
    const timeoutMs = request.timeoutMs ?? this.#limits.timeoutMs;
    const timing = { deadline: startedAt + timeoutMs, timeoutMs };
    const { source } = request;
    this.#pools.getReady();
    // What need not be waited for is not: each turn of a promise is felt by a request that takes half a millisecond.
    using lease = this.#roomOf(request.client).lease(timing, signal);
    const loaded =
      'uri' in source
        ? await this.#sources.file(source.uri, request, lease)
        : this.#sources.given(source.content, request);
    const found = await this.#driverFor(request, loaded);
    const mode = request.mode ?? 'native';
    request.span?.annotate({ 'babelhost.content_bytes': loaded.contentBytes });
    let { driver } = found;
    let triedAgain = false;
    let answer: NativeAnswer | undefined;
    while (answer === undefined) {
      onDriver?.(driver);
      checkMode(mode, driver);
      const line = encodeRequest(loaded, found.asked, driver.manifest);
      // What came with its request is counted where that is read. A string has two bytes at most for each character.
      if ('uri' in source) lease.holds(2 * loaded.content.length + line.length);
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
    const { status, errors } = this.#judge(answer, driver);
    return {
      language: driver.language,
      mode,
      status,
      errors,
      driver,
      elapsedMs: performance.now() - startedAt,
      ast: answer.ast,
      contentBytes: loaded.contentBytes,
    };
  }

  #roomOf(client: ClientQueue): FileBudget {
    let room = this.#rooms.get(client);
    if (room === undefined) this.#rooms.set(client, (room = new FileBudget()));
    return room;
  }

  /** Whether a request failed only because its driver's image was replaced or removed since it was looked up. */
  #wasReplaced(driver: Driver, error: unknown): boolean {
    // By another process: the image was gone before an instance had started.
    if (isBabelhostError(error, 'imageNotFound')) return error.data['image'] === driver.digest;
    // Here: who shared another's parse, and has more time than that one had, asks a pool that has finished meanwhile.
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
    // The line says all that is asked; the digest, of whom. All of them are the native mode's.
    const asked = { of: `${driver.digest} ${priority}`, line };
    return this.#shared.run(asked, { client, timing, signal }, (given) =>
      pool.request({ line, timing, client, priority, signal: given, id, span }),
    );
  }

  /** `fatal` is the driver's own failure on a request; the other two are results. */
  #judge(answer: NativeAnswer, driver: Driver): { status: 'ok' | 'error'; errors: readonly SourceError[] } {
    if (answer.status !== 'fatal') return { status: answer.status, errors: answer.errors };
    const reason = answer.errors.map((error) => error.message).join('; ') || 'it gave no reason';
    throw new BabelhostError('driverFailed', `The ${driver.language} driver could not handle the request: ${reason}.`, {
      language: driver.language,
      errors: answer.errors,
    });
  }

  /** The language asked for (or detected) and the driver for it. */
  async #driverFor(request: ParseRequest, loaded: LoadedSource): Promise<{ asked: string; driver: Driver }> {
    if (request.language !== undefined) {
      return { asked: request.language.toLowerCase(), driver: await this.#drivers.find(request.language) };
    }
    const startedAt = performance.now();
    const candidates = await detectLanguages({
      content: loaded.text,
      ...(loaded.filename !== undefined && { filename: loaded.filename }),
    });
    this.#observer?.detected(candidates[0], performance.now() - startedAt);
    for (const candidate of candidates) {
      const driver = await this.#drivers.lookUp([candidate]);
      if (driver !== undefined) return { asked: candidate, driver };
    }
    const [likeliest] = candidates;
    if (likeliest !== undefined) return { asked: likeliest, driver: await this.#drivers.find(likeliest) };
    throw new BabelhostError(
      'languageNotDetected',
      `The language of ${loaded.filename ?? 'the source'} could not be told from its name and content; name it (language).`,
      { ...(loaded.filename !== undefined && { filename: loaded.filename }) },
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
