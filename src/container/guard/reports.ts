// The lines that the guard writes to its stdout (native/guard.c), and its starter to the channel of each start
// (native/start.c). No process of a container has either of them.

/** Longer than any of the lines, complaints included, in bytes. */
export const longestGuardLine = 4096;

export type GuardReport =
  /** The host's id of process 1 of the guard's namespace. */
  | { readonly kind: 'guard'; readonly pid: number }
  /** What roots of containers cannot be mounted with, and why (native/probe.c). */
  | { readonly kind: 'lacks'; readonly what: 'ids' | 'overlay'; readonly reason: string }
  | { readonly kind: 'ready' }
  /** A process was reaped: its id in the guard's namespace, its status as of wait(2). */
  | { readonly kind: 'exited'; readonly guardPid: number; readonly status: number };

/** Undefined for a line that the guard never writes. */
export function parseGuardLine(line: string): GuardReport | undefined {
  if (line === 'ready') return { kind: 'ready' };
  const [, guard] = /^guard ([1-9]\d{0,9})$/.exec(line) ?? [];
  if (guard !== undefined) return { kind: 'guard', pid: Number(guard) };
  const [, what, reason] = /^lacks (ids|overlay) bootstrap: (.+)$/.exec(line) ?? [];
  if ((what === 'ids' || what === 'overlay') && reason !== undefined) return { kind: 'lacks', what, reason };
  const [, pid, status] = /^exited ([1-9]\d{0,9}) (\d{1,5})$/.exec(line) ?? [];
  if (status !== undefined) return { kind: 'exited', guardPid: Number(pid), status: Number(status) };
  return undefined;
}

/** A process that the guard's starter has started. */
export interface StartedProcess {
  /** The host's id of it; 0 if it had ended already. */
  readonly pid: number;
  /** Its id in the guard's namespace, and when it was started, which distinguishes it from others of that id. */
  readonly guardPid: number;
  readonly startedAt: string;
}

export type StarterReport =
  /** The process that was started. */
  | { readonly kind: 'process'; readonly process: StartedProcess }
  /** What the bootstrap complains of, and the runtime's exit status, if nothing was started. */
  | { readonly kind: 'complaint'; readonly text: string }
  | { readonly kind: 'ended'; readonly status: number };

/** Undefined for a line that the starter never writes. */
export function parseStarterLine(line: string): StarterReport | undefined {
  if (line.startsWith('bootstrap: ')) return { kind: 'complaint', text: line.slice('bootstrap: '.length) };
  const [, status] = /^ended (\d{1,3})$/.exec(line) ?? [];
  if (status !== undefined) return { kind: 'ended', status: Number(status) };
  const [, pid, guardPid, startedAt] = /^process (\d{1,10}) ([1-9]\d{0,9}) (\d{1,20})$/.exec(line) ?? [];
  if (startedAt === undefined) return undefined;
  return { kind: 'process', process: { pid: Number(pid), guardPid: Number(guardPid), startedAt } };
}
