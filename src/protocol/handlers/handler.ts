// What a handler is: a method's work, between the table's types and the rooms below; and what several of them share.
import { given } from '../../base/given.ts';
import type { ContainerRegistry, ContainerRuntime } from '../../container/index.ts';
import type { InstalledDrivers } from '../../drivers/installed/installed-drivers.ts';
import type { DriverLimits } from '../../drivers/limits.ts';
import type { DriverObserver, Tracer, TraceSpan } from '../../drivers/observer.ts';
import type { Parser } from '../../drivers/parse/parser.ts';
import type { Pools } from '../../drivers/pool/pools.ts';
import type { ClientQueue } from '../../drivers/pool/request-queue.ts';
import { CancelledError } from '../../drivers/request.ts';
import { parsePlatform, type ImageStore, type Progress } from '../../images/index.ts';
import type { Logger, LogRelay } from '../../base/log.ts';
import type { CheckedParams, FileResult, MethodName, Result } from '../methods.ts';
import type { ProgressReporter } from '../server/progress.ts';

/** What handlers work on: the parts of a host, wired by src/host.ts. */
export interface HostServices {
  readonly root: string;
  readonly limits: DriverLimits;
  readonly store: ImageStore;
  readonly runtime: ContainerRuntime;
  readonly containers: ContainerRegistry;
  readonly drivers: InstalledDrivers;
  readonly pools: Pools;
  readonly parser: Parser;
  readonly logger: Logger;
  readonly relay: LogRelay;
  /** The catalogue file that the host was given in place of its own. */
  readonly catalogueFile: string | undefined;
  /** The project's own catalogue file. */
  readonly shippedCatalogue: string;
  /** Cancelled work that still cleans up; the store stays open until it is done. */
  readonly unwinding: Set<Promise<void>>;
  /** Undefined where metrics are off. */
  readonly metrics?: DriverObserver;
  /** Undefined where traces are off. */
  readonly tracer?: Tracer;
  /** In milliseconds of performance.now(). */
  readonly startedAt: number;
}

/** What a handler knows of the request besides its parameters. */
export interface RequestContext {
  /** The client, as the pools tell clients apart. */
  readonly client: ClientQueue;
  /** What the log calls the request: unique in this process. */
  readonly id: string;
  /** Undefined where traces are off. */
  readonly span: TraceSpan | undefined;
  /** Aborted when the client has cancelled the request or gone away. */
  readonly signal: AbortSignal;
  readonly progress: ProgressReporter;
  /** Streams to the request's partialResultToken; resolves when the client's stream has taken it. */
  readonly sendPartialResult: ((results: readonly Sent<FileResult>[]) => Promise<void>) | undefined;
}

/** A value that is only sent, so that its lists may be the rooms' own. */
export type Sent<T> = T extends readonly (infer Item)[]
  ? readonly Sent<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Sent<T[Key]> }
    : T;

export type Handler<Name extends MethodName> = (
  params: CheckedParams<Name>,
  context: RequestContext,
  services: HostServices,
) => Promise<Sent<Result<Name>>> | Sent<Result<Name>>;

/** The handlers of some methods. */
export type Handlers<Name extends MethodName> = { readonly [Each in Name]: Handler<Each> };

/** The options with which an image is moved on a client's behalf; progress is reported layer by layer. */
export function transferOptions(
  { signal, progress }: RequestContext,
  { platform, credentials }: Pick<CheckedParams<'image/pull'>, 'platform' | 'credentials'>,
) {
  return {
    signal,
    onProgress: ({ phase, layer, done, total }: Progress): void => {
      progress.report({ phase, done, ...given({ item: layer, total }) });
    },
    ...given({ credentials, platform: platform === undefined ? undefined : parsePlatform(platform) }),
  };
}

/**
 * Frees the client as soon as it cancels. The work, which has the same signal, ends its fetches at once and still removes
 * what it had made, for which the host waits when it closes.
 * @throws CancelledError
 */
export async function untilCancelled<T>(
  { signal }: RequestContext,
  { unwinding }: HostServices,
  work: () => Promise<T>,
): Promise<T> {
  if (signal.aborted) throw new CancelledError();
  const working = work();
  const settled = working.then(
    () => undefined,
    () => undefined,
  );
  unwinding.add(settled);
  void settled.then(() => unwinding.delete(settled));
  const { promise: cancelled, reject } = Promise.withResolvers<never>();
  const cancel = (): void => {
    reject(new CancelledError());
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await Promise.race([working, cancelled]);
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}
