// Progress on stderr: bars that are redrawn on a terminal, nothing in a pipe. Every drawing fits the terminal's width, as
// a line that wraps cannot be erased.
import { createLogUpdate } from 'log-update';
import type { ProgressDetail, WorkDoneProgress } from '../protocol/client.ts';
import { formatBytes } from './quantities.ts';
import type { Session } from './session.ts';
import { truncate } from './layout.ts';
import { columnsOf, onOneLine, styleFor } from './text.ts';

/** Between two drawings, in milliseconds. */
const intervalMs = 80;

export class ProgressDisplay implements Disposable {
  readonly #stream = process.stderr;
  readonly #enabled: boolean;
  readonly #draw;
  #lines: () => readonly string[] = () => [];
  #timer: NodeJS.Timeout | undefined;

  /** @param wanted false for a display that shows nothing, as with --json */
  constructor(wanted: boolean, session: Pick<Session, 'onLogLine'>) {
    this.#enabled = wanted && this.#stream.isTTY && process.env['TERM'] !== 'dumb';
    this.#draw = this.#enabled ? createLogUpdate(this.#stream, { showCursor: true }) : undefined;
    session.onLogLine(() => {
      this.clear();
    });
  }

  /** Draws what `lines` returns, again and again, until the display ends. */
  show(lines: () => readonly string[]): void {
    if (!this.#enabled) return;
    this.#lines = lines;
    this.#timer ??= setInterval(() => {
      this.#render();
    }, intervalMs).unref();
  }

  /** Erases the drawing, so that a line can be written; the next interval draws it again. */
  clear(): void {
    this.#draw?.clear();
  }

  get columns(): number {
    return (columnsOf(this.#stream) ?? 80) - 1;
  }

  #render(): void {
    this.#draw?.(this.#lines().join('\n'));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (this.#enabled) this.#draw?.clear();
  }
}

/** `━━━━━━━━────────` */
export function bar(done: number, total: number, width: number): string {
  const style = styleFor(process.stderr);
  const share = total <= 0 ? 0 : Math.min(1, Math.max(0, done / total));
  const full = Math.round(share * width);
  return style('cyan', '━'.repeat(full)) + style('dim', '─'.repeat(width - full));
}

/** What each phase is called, in an item's order. An unknown phase is called by its own name. */
const phases: Readonly<Record<string, string>> = {
  resolve: 'resolving',
  fetch: 'fetching',
  unpack: 'unpacking',
  collect: 'collecting',
  push: 'pushing',
};

const isGoing = ({ done, total }: ProgressDetail): boolean => total === undefined || done < total;

/** Bars of work that goes item by item in bytes, as fetching and unpacking of layers does. */
export class TransferBars {
  /** Of each item, how far each phase is. */
  readonly #items = new Map<string, Map<string, ProgressDetail>>();
  #title = '';
  /** Lines shown at most: an image may have more layers than a terminal has lines. */
  readonly #most = 8;

  update(progress: WorkDoneProgress): void {
    if (progress.kind === 'begin') {
      this.#title = progress.title;
      this.#items.clear();
    } else if (progress.kind === 'report' && progress.detail !== undefined) {
      const { phase, item = '' } = progress.detail;
      // The items are known by then.
      if (phase !== 'resolve') this.#items.get('')?.delete('resolve');
      const amounts = this.#items.get(item) ?? new Map<string, ProgressDetail>();
      this.#items.set(item, amounts.set(phase, progress.detail));
    }
  }

  lines(columns: number): string[] {
    // A layer is unpacked while it arrives: it counts as fetching until all of it is here.
    const items = [...this.#items.values()].flatMap((phasesOf) => {
      const inOrder = Object.keys(phases).flatMap((phase) => phasesOf.get(phase) ?? []);
      const others = [...phasesOf.values()].filter(({ phase }) => !Object.hasOwn(phases, phase));
      const all = [...inOrder, ...others];
      return all.find(isGoing) ?? all.slice(-1);
    });
    const going = items.filter(isGoing);
    const shown = (going.length > 0 ? going : items.slice(-1)).slice(0, this.#most);
    const lines = [truncate(onOneLine(this.#title), columns)];
    for (const { phase, item, done, total } of shown) {
      const name = onOneLine(item ?? '')
        .replace(/^sha256:/, '')
        .slice(0, 12)
        .padEnd(12);
      const label = `  ${(phases[phase] ?? onOneLine(phase)).padEnd(10)} ${name} `;
      const amount = total === undefined ? formatBytes(done) : `${formatBytes(done)} / ${formatBytes(total)}`;
      const width = Math.min(40, columns - label.length - amount.length - 2);
      lines.push(
        total === undefined || width < 5
          ? truncate(label + amount, columns)
          : `${label}${bar(done, total, width)} ${amount}`,
      );
    }
    const waiting = going.length - shown.length;
    if (waiting > 0) lines.push(`  and ${waiting} more`);
    return lines;
  }
}
