// parse: one file, several, or folders.
import { stat } from 'node:fs/promises';
import { Option } from 'commander';
import { textOfPath, uriOfPath } from '../../base/byte-paths.ts';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import type { FileResult, Params } from '../../protocol/methods.ts';
import type { CommandModule, Context, ExitStatus } from '../command.ts';
import { printWarning, UsageError } from '../failure.ts';
import { addSummaries, ParseProgress, summaryText, type Summary } from '../parse-progress.ts';
import { resultWriter, writeOne, type Format } from '../parse-results.ts';
import { absolutePaths, pathFromHere } from '../path-arguments.ts';
import { ProgressDisplay } from '../progress.ts';
import { collect, parseCount } from '../quantities.ts';
import { readSource } from '../standard-input.ts';
import { styleFor } from '../text.ts';

interface Options {
  readonly language?: string;
  readonly mode?: NonNullable<Params<'parse'>['mode']>;
  readonly format?: 'tree' | 'json' | 'ndjson';
  readonly filename?: string;
  readonly encoding?: 'utf8' | 'base64';
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  /** False with --no-ignore. */
  readonly ignore?: boolean;
  readonly hidden?: true;
  readonly depth: number;
  readonly strict?: true;
}

const command: CommandModule<Options> = {
  configure(command) {
    command
      .argument('<paths...>', 'files and folders; - is stdin')
      .option('--language <language>', 'in place of detecting it')
      .addOption(
        new Option('--mode <mode>', 'what to return').choices(['native', 'preprocessed', 'annotated', 'semantic']),
      )
      .addOption(new Option('--format <format>', 'how to print it').choices(['tree', 'json', 'ndjson']))
      .option('--filename <name>', 'name of the source, where it is read from stdin')
      .addOption(
        new Option(
          '--encoding <encoding>',
          'base64 hands the bytes of one file, UTF-8 or not, to a driver that decodes them itself',
        ).choices(['utf8', 'base64']),
      )
      .option('--include <glob>', 'only these files of a folder (may be given again)', collect)
      .option('--exclude <glob>', 'none of these (may be given again)', collect)
      .option('--no-ignore', 'parse what .gitignore, .ignore and the like leave out of a folder, too')
      .option('--hidden', 'parse files and folders with a leading dot, too')
      .option('--depth <levels>', 'levels of a tree that are shown', parseCount, 12)
      .option('--strict', 'let errors in a source count as failure')
      .addHelpText(
        'after',
        [
          '',
          'One file is printed as a tree on a terminal, as JSON in a pipe. Of folders and of several files, a terminal gets',
          'a bar and what is wrong; a pipe gets NDJSON, a line for each file with uri, language, status, errors and uast.',
          'Below folders, hidden files and what .ignore, .gitignore and git’s other excludes name are left out; what is named',
          'as an argument is always parsed.',
          'A file that could not be parsed makes the exit status 1; one with syntax errors does so with --strict only.',
        ].join('\n'),
      );
  },

  async run(context, paths, options) {
    const places = await Promise.all(absolutePaths(paths).map(lookAt));
    const [only, another] = places;
    if (only === undefined) throw new UsageError('There is nothing to parse.');
    const single = another === undefined && only.kind !== 'folder' ? only : undefined;
    if (single === undefined && (options.encoding !== undefined || options.filename !== undefined)) {
      throw new UsageError('--encoding and --filename are for one file.');
    }
    if (single !== undefined && (single.kind === 'stdin' || formatOf(context, options, true) !== 'ndjson')) {
      return await parseOne(context, single, options);
    }
    if (places.some(({ kind }) => kind === 'stdin')) throw new UsageError('- (stdin) is parsed alone.');
    return await parseMany(context, places, options);
  },
};

export default command;

type Place = { readonly kind: 'stdin' } | { readonly kind: 'file' | 'folder'; readonly uri: string };

async function lookAt({ argument, path: file }: { readonly argument: string; readonly path: Buffer }): Promise<Place> {
  if (argument === '-') return { kind: 'stdin' };
  try {
    const kind = (await stat(file)).isDirectory() ? 'folder' : 'file';
    return { kind, uri: uriOfPath(file) };
  } catch (error) {
    const code = systemErrorCode(error);
    const reason = code === 'ENOENT' ? 'there is no such file' : messageOf(error);
    const absolute = textOfPath(file);
    throw new BabelhostError('notFound', `${pathFromHere(file)} cannot be parsed: ${reason}.`, {
      path: absolute,
      code,
    });
  }
}

function formatOf({ global, output }: Context, { format }: Options, single: boolean): Format {
  if (format !== undefined) return format;
  if (single) return global.json || !output.isTerminal ? 'json' : 'tree';
  return global.json || !output.isTerminal ? 'ndjson' : 'problems';
}

async function parseOne(context: Context, place: Place, options: Options): Promise<ExitStatus> {
  const { signal, output, global } = context;
  const { language, mode, filename, encoding, depth, strict } = options;
  const { contentBytes, timeoutMs, queueTimeoutMs } = global.limits;
  const source =
    'uri' in place ? { uri: place.uri, encoding } : await readSource(encoding ?? 'utf8', contentBytes, signal);
  const { client } = await context.session();
  const params = { ...source, language, mode, filename, timeoutMs, queueTimeoutMs };
  const result = await client.request('parse', params, { signal });
  const format = formatOf(context, options, true) === 'tree' ? 'tree' : 'json';
  writeOne({ uri: 'uri' in place ? place.uri : (filename ?? '-'), ...result }, format, output, depth);
  await output.drained();
  return strict !== undefined && result.status === 'error' ? 1 : 0;
}

async function parseMany(context: Context, places: readonly Place[], options: Options): Promise<ExitStatus> {
  const { signal, output, global } = context;
  const { language, mode } = options;
  const { timeoutMs, queueTimeoutMs } = global.limits;
  const format = formatOf(context, options, false);
  const session = await context.session();
  const writer = resultWriter(format, output, options.depth);
  const progress = new ParseProgress();
  using display = new ProgressDisplay(!global.json, session);
  display.show(() => progress.lines(display.columns));

  const interrupted = new Promise((resolve) => {
    signal.addEventListener('abort', resolve, { once: true });
  });
  const take = (results: readonly FileResult[]): void => {
    // After an interrupt results are dropped, so that the final answer behind them is read.
    if (signal.aborted) return;
    for (const result of results) {
      progress.count('error' in result ? 'failed' : result.status);
      if (output.isTerminal) display.clear();
      if (!writer.write(result)) holdUp();
    }
  };
  // While the reader of stdout is behind, no messages are taken from the host, which then makes none.
  let heldUp = false;
  const holdUp = (): void => {
    if (heldUp) return;
    heldUp = true;
    session.pause();
    void Promise.race([output.drained(), interrupted]).then(() => {
      heldUp = false;
      session.resume();
    });
  };

  const summaries: Summary[] = [];
  try {
    for (const request of requestsFor(places, options)) {
      progress.next();
      const summary = await session.client.request(
        'parse/files',
        { ...request, language, mode, timeoutMs, queueTimeoutMs },
        {
          signal,
          onPartialResult: take,
          onProgress: (report) => {
            if (report.kind === 'report') progress.total = report.detail?.total;
          },
        },
      );
      summaries.push(summary);
    }
  } catch (error) {
    // The reader has left: the results that it has seen decide.
    if (output.closed) return progress.failed > 0 ? 1 : 0;
    throw error;
  }
  writer.end?.();
  await output.drained();
  display[Symbol.dispose]();
  // There is at least one: a path is required.
  const sum = summaries.reduce(addSummaries);
  for (const warning of sum.warnings) printWarning(warning, global.json);
  context.say(summaryText(sum, styleFor(process.stderr)));
  return sum.failed > 0 || (options.strict !== undefined && sum.error > 0) ? 1 : 0;
}

/** All files in one request, and one for each folder. */
function requestsFor(places: readonly Place[], { include, exclude, ignore, hidden }: Options): Params<'parse/files'>[] {
  const uris = places.flatMap((place) => (place.kind === 'file' ? [place.uri] : []));
  const folders = places.flatMap((place) => (place.kind === 'folder' ? [place.uri] : []));
  return [
    ...(uris.length > 0 ? [{ uris }] : []),
    ...folders.map((root) => ({
      root,
      include: include && [...include],
      exclude: exclude && [...exclude],
      noIgnore: ignore === false ? true : undefined,
      hidden,
    })),
  ];
}
