// `parse/files` over five thousand real files, against a loop in one process that calls the parser as a library. Both end
// with the same: the JSON of every file's tree, as bytes in the memory of a process that is not a driver's. The client is
// this project's own, as the command line has it, in this process: it reads every frame, takes every result apart (its
// file, status, errors and driver) and has the tree as the bytes that it would write to a file or a pipe, and gives their
// memory back, as when they are written. It shares the cores with the host and the drivers.
import { hash } from 'node:crypto';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Client } from '../src/protocol/client.ts';
import type { FileResult } from '../src/protocol/methods.ts';
import type { RawJson } from '../src/json/raw-json.ts';
import { packageFiles } from './corpus.ts';
import { LineProcess } from './line-process.ts';
import type { Figure } from './report.ts';
import { keptInstances, serveHostWithRawTrees, type ServedHost } from './setting.ts';
import { takeTurns } from './statistics.ts';

const count = 5000;
const largest = 200 * 1024;
const rounds = 5;
/** Until a contestant is warm: of two drivers, each has half of the files in a round, and compiles for ten thousand. */
const warmUp = 6;

export async function measureFiles(root: string): Promise<Figure[]> {
  const files = await packageFiles(count, largest);
  await using loop = new LibraryLoop();
  await using host = serveHostWithRawTrees(root, keptInstances);
  await compareTrees(host, loop, files);
  const perSecond = async (work: () => Promise<unknown>): Promise<number> => {
    const startedAt = performance.now();
    await work();
    return (1000 * files.length) / (performance.now() - startedAt);
  };
  const { through, decoded, plain } = await takeTurns(rounds, warmUp, {
    through: () => perSecond(() => parseAll(host, files, () => undefined)),
    plain: () => perSecond(() => loop.run(files)),
    decoded: () => perSecond(() => parseAll(host, files, ({ uast }) => (uast as RawJson).decode())),
  });
  const baseline = { name: 'a loop in one process that calls the parser', value: plain };
  const name = `parse/files over ${files.length} JavaScript and TypeScript files`;
  return [
    { name, unit: 'files/s', value: through, baseline, target: { ratio: 1.6, is: 'at least' } },
    { name: `${name}, every tree decoded by the client`, unit: 'files/s', value: decoded, baseline },
  ];
}

type Parsed = Exclude<FileResult, { error: unknown }>;

/** Has the host parse all files, each of which must get one result. */
async function parseAll(
  host: ServedHost<Client>,
  files: readonly string[],
  take: (result: Parsed) => void,
): Promise<void> {
  let taken = 0;
  const summary = await host.client.request(
    'parse/files',
    { uris: files.map((file) => pathToFileURL(file).href) },
    {
      onPartialResult: (results) => {
        for (const result of results) {
          taken += 1;
          if ('error' in result) throw new Error(`${result.uri}: ${result.error.message}`);
          take(result);
          (result.uast as RawJson).free();
        }
      },
    },
  );
  if (taken !== files.length || summary.failed > 0) {
    throw new Error(`${taken} of ${files.length} files have a result: ${JSON.stringify(summary)}`);
  }
}

/** Both must make the same trees, byte for byte: else they are not to be compared. */
async function compareTrees(host: ServedHost<Client>, loop: LibraryLoop, files: readonly string[]): Promise<void> {
  const expected = await loop.hashes(files);
  const met = new Set<string>();
  await parseAll(host, files, ({ uri, uast }) => {
    const file = fileURLToPath(uri);
    if (met.has(file)) throw new Error(`${file} has two results`);
    met.add(file);
    const tree = hash('sha256', Buffer.concat((uast as RawJson).chunks));
    if (tree !== expected.get(file)) throw new Error(`${file}: the loop makes another tree`);
  });
}

/** The process of library-loop.ts. */
class LibraryLoop implements AsyncDisposable {
  readonly #process = new LineProcess([process.execPath, fileURLToPath(new URL('library-loop.ts', import.meta.url))]);

  /** Parses all files. */
  async run(files: readonly string[]): Promise<void> {
    await this.#process.ask(`${JSON.stringify({ files })}\n`);
  }

  /** Parses all files. @returns the SHA-256 of each one's tree */
  async hashes(files: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const answer = await this.#process.ask(`${JSON.stringify({ files, hash: true })}\n`);
    const hashes = JSON.parse(answer.toString('utf8')) as readonly string[];
    return new Map(files.map((file, index) => [file, hashes[index] ?? '']));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}
