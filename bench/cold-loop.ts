// A program as one writes it who has the parser as a library and two cores: two workers take the files of a folder one by one,
// and write a line of JSON for each to stdout, as `babelhost parse` does.
import { readFileSync, writeSync } from 'node:fs';
import { glob } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

interface Work {
  readonly files: readonly string[];
  /** One number: the next file. */
  readonly next: Int32Array;
}

if (isMainThread) await start();
else await parseAll(workerData as Work);

async function start(): Promise<void> {
  const [folder = ''] = process.argv.slice(2);
  const files: string[] = [];
  for await (const name of glob('**/*.{js,mjs,cjs,ts,mts,cts}', { cwd: folder })) files.push(path.join(folder, name));
  const work: Work = { files, next: new Int32Array(new SharedArrayBuffer(4)) };
  const workers = [1, 2].map(() => new Worker(new URL(import.meta.url), { workerData: work }));
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
}

async function parseAll({ files, next }: Work): Promise<void> {
  // Workers alone need it.
  const { parseFile } = await import('./plain-parser.ts');
  for (;;) {
    const file = files[Atomics.add(next, 0, 1)];
    if (file === undefined) return;
    const content = readFileSync(file, 'utf8');
    const { status, errors, ast } = parseFile(file, content);
    const line = Buffer.from(
      `${JSON.stringify({ uri: pathToFileURL(file).href, language: 'javascript', status, errors, uast: ast })}\n`,
    );
    for (let written = 0; written < line.length;) written += writeSync(1, line, written);
  }
}
