// The drivers of the catalogue without container and host: each against its parser called as a library in a plain
// process, for the same tree, and its start against that of the bare interpreter.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { fileOfSize, pythonFiles } from './corpus.ts';
import { layOut } from './laid-out-driver.ts';
import { LineProcess, python } from './line-process.ts';
import type { Figure } from './report.ts';
import { summarise, takeTurns } from './statistics.ts';

const catalog = fileURLToPath(new URL('../catalog/', import.meta.url));
const modules = fileURLToPath(new URL('../node_modules/', import.meta.url));
const rounds = 60;
const startRounds = 25;

interface Contestants {
  readonly language: string;
  /** The driver as it lies in its image. */
  readonly driver: readonly [string, ...string[]];
  /** Answers a request with the milliseconds that parser and serialising took, and the JSON of the tree after a space. */
  readonly library: readonly [string, ...string[]];
  /** Answers each line with a line, and does nothing else. */
  readonly bare: readonly [string, ...string[]];
  readonly hints: object;
  readonly sources: readonly { readonly name: string; readonly content: string }[];
}

// Both of these do for one source what the driver does, as a program would that has the parser as a library.
const babelLibrary = `
const { parse } = require('@babel/parser');
Object.defineProperty(BigInt.prototype, 'toJSON', { value() { return this.toString(); } });
const options = { errorRecovery: true, attachComment: false, sourceType: 'unambiguous',
  plugins: ['jsx', 'decorators', 'decoratorAutoAccessors', 'sourcePhaseImports', 'deferredImportEvaluation'] };
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { content } = JSON.parse(line);
  const startedAt = performance.now();
  const json = JSON.stringify(parse(content, options));
  process.stdout.write(performance.now() - startedAt + ' ' + json + '\\n');
});
`;
const pythonLibrary = `
import json, sys, time
sys.path.insert(0, ${JSON.stringify(path.join(catalog, 'python/lib'))})
sys.dont_write_bytecode = True
from babelhost_python.tree import convert
for line in sys.stdin:
    content = json.loads(line)["content"]
    started_at = time.perf_counter()
    tree = convert(content)
    print((time.perf_counter() - started_at) * 1000, tree, flush=True)
`;
const bareNode = `
const { readSync, writeSync } = require('node:fs');
while (readSync(0, Buffer.alloc(1024)) > 0) writeSync(1, 'x\\n');
`;
const barePython = `
import sys
for line in sys.stdin.buffer:
    sys.stdout.write("x\\n")
    sys.stdout.flush()
`;

/** Lays the drivers out, and writes the programs they are compared with. */
async function prepare(folder: string): Promise<Contestants[]> {
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(path.join(folder, name), text);
    return path.join(folder, name);
  };
  const javascript = await layOut('javascript', folder);
  const pythonDriver = await layOut('python', folder);
  const standardLibrary = await pythonFiles();
  const named = async (name: string): Promise<{ name: string; content: string }> => ({
    name,
    content: await readFile(path.join(standardLibrary, name), 'utf8'),
  });
  const sized = async (bytes: number): Promise<{ name: string; content: string }> => {
    const { file, content } = await fileOfSize(bytes);
    return { name: path.relative(modules, file), content };
  };
  return [
    {
      language: 'javascript',
      driver: javascript.command,
      library: [
        process.execPath,
        await write(
          'library.cjs',
          babelLibrary.replace('@babel/parser', path.join(javascript.library, 'node_modules/@babel/parser')),
        ),
      ],
      bare: [process.execPath, await write('bare.cjs', bareNode)],
      hints: { language: 'javascript', filename: 'x.js' },
      sources: [await sized(3_000), await sized(8_000), await sized(150_000)],
    },
    {
      language: 'python',
      driver: pythonDriver.command,
      library: [python, '-I', await write('library.py', pythonLibrary)],
      bare: [python, '-BIS', await write('bare.py', barePython)],
      hints: {},
      sources: [await named('bisect.py'), await named('shlex.py'), await named('ast.py'), await named('argparse.py')],
    },
  ];
}

async function measureParsing(contestants: Contestants): Promise<Figure[]> {
  await using driver = new LineProcess(contestants.driver);
  await using library = new LineProcess(contestants.library);
  const figures: Figure[] = [];
  for (const { name, content } of contestants.sources) {
    const line = `${JSON.stringify({ content, encoding: 'utf8', ...contestants.hints })}\n`;
    const answer = await driver.ask(line);
    if (!answer.subarray(0, 64).includes('"status":"ok"'))
      throw new Error(`${name}: ${answer.toString('utf8', 0, 200)}`);
    const inProcess: number[] = [];
    const roundTrip = async (process: LineProcess): Promise<[number, Buffer]> => {
      const startedAt = performance.now();
      const answer = await process.ask(line);
      return [performance.now() - startedAt, answer];
    };
    const { through, plain } = await takeTurns(rounds, 20, {
      through: async () => (await roundTrip(driver))[0],
      plain: async () => {
        const [elapsed, answer] = await roundTrip(library);
        inProcess.push(Number(answer.toString('latin1', 0, answer.indexOf(' '))));
        return elapsed;
      },
    });
    const title = `${contestants.language}: ${name}, ${(content.length / 1000).toFixed(1)} KB`;
    figures.push(
      {
        name: title,
        unit: 'ms',
        value: through,
        baseline: { name: 'a plain loop that calls the parser, over the same pipes', value: plain },
        target: { ratio: 1.1, is: 'at most' },
      },
      {
        name: `${title}, without the pipes`,
        unit: 'ms',
        value: through,
        baseline: { name: 'parser and serialising within that loop', value: summarise(inProcess.slice(-rounds)) },
      },
    );
  }
  return figures;
}

async function measureStart(contestants: Contestants): Promise<Figure> {
  const start = async (command: readonly [string, ...string[]]): Promise<number> => {
    const startedAt = performance.now();
    await using process = new LineProcess(command);
    await process.ask(`${JSON.stringify({ content: 'x = 1', encoding: 'utf8', ...contestants.hints })}\n`);
    return performance.now() - startedAt;
  };
  const { driver, bare } = await takeTurns(startRounds, 3, {
    driver: () => start(contestants.driver),
    bare: () => start(contestants.bare),
  });
  return {
    name: `${contestants.language}: spawn to first answer`,
    unit: 'ms',
    value: driver,
    baseline: { name: 'the bare interpreter, answering a line with a line', value: bare },
    target: { ratio: 1.3, is: 'at most' },
  };
}

/** Measures both drivers. */
export async function measureDrivers(): Promise<Figure[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-bench-'));
  try {
    const figures: Figure[] = [];
    for (const contestants of await prepare(folder)) {
      figures.push(...(await measureParsing(contestants)), await measureStart(contestants));
    }
    return figures;
  } finally {
    await rm(folder, { recursive: true });
  }
}
