// One Python file, parsed again and again by one client that waits for each answer, against a plain loop of CPython's
// parser and the same conversion to JSON. Both end with the same: the JSON of the tree, as bytes in the memory of a
// process that is not the driver's. The client is this project's own, as the command line has it: it decodes each answer
// but for the tree, which stays the bytes that it would write.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { RawJson } from '../src/json/raw-json.ts';
import { pythonFileOfSize } from './corpus.ts';
import { LineProcess, python } from './line-process.ts';
import type { Figure } from './report.ts';
import { serveHostWithRawTrees } from './setting.ts';
import { takeTurns, timed } from './statistics.ts';

const parses = 500;
const rounds = 7;
const library = fileURLToPath(new URL('../catalog/python/lib', import.meta.url));

const loopProgram = `
import json, sys
sys.path.insert(0, ${JSON.stringify(library)})
sys.dont_write_bytecode = True
from babelhost_python.tree import convert
for line in sys.stdin:
    request = json.loads(line)
    for _ in range(request["times"]):
        tree = convert(request["content"]).encode()
    sys.stdout.buffer.write(tree + b"\\n")
    sys.stdout.flush()
`;

export async function measurePython(root: string): Promise<Figure[]> {
  const file = await pythonFileOfSize(25_000);
  const content = await readFile(file, 'utf8');
  await using loop = new LineProcess([python, '-I', '-c', loopProgram]);
  await using host = serveHostWithRawTrees(root, ['--max-instances', '1']);
  const parse = async (): Promise<RawJson> => {
    const { uast } = await host.client.request('parse', { content, language: 'python', filename: file });
    return uast as RawJson;
  };
  const convert = async (times: number): Promise<Buffer> => await loop.ask(`${JSON.stringify({ content, times })}\n`);
  const tree = Buffer.concat((await parse()).chunks);
  if (!tree.equals((await convert(1)).subarray(0, -1))) throw new Error('the loop makes another tree');
  const { through, plain } = await takeTurns(rounds, 2, {
    through: () =>
      timed(async () => {
        for (let count = 0; count < parses; count += 1) (await parse()).free();
      }),
    plain: () => timed(() => convert(parses)),
  });
  return [
    {
      name: `one Python file of ${(content.length / 1000).toFixed(0)} KB, ${parses} times, one client`,
      unit: 'ms',
      value: through,
      baseline: { name: 'a plain loop of CPython’s parser and the same conversion', value: plain },
      target: { ratio: 1.2, is: 'at most' },
    },
  ];
}
