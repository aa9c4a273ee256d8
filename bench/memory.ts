// The host's resident memory while it passes on ten thousand large trees: at most 120 MB. The tree is that
// of a file of 150 KB; it comes from a driver that has it ready (canned-driver.ts), for a parser would take ten minutes.
import { cannedLanguage, installCannedDriver } from './canned-driver.ts';
import { fileOfSize } from './corpus.ts';
import type { Figure } from './report.ts';
import { residentMegabytes } from './resident-memory.ts';
import { serveHostWithRawTrees } from './setting.ts';
import { summarise } from './statistics.ts';
import type { RawJson } from '../src/json/raw-json.ts';

const trees = 10_000;

export async function measureMemory(root: string): Promise<Figure[]> {
  const { file, content } = await fileOfSize(150 * 1024);
  await installCannedDriver(root, await treeOf(root, file, content));
  await using host = serveHostWithRawTrees(root);
  await host.client.request('parse', { content: 'x', language: 'javascript', filename: file });
  const idle = await residentMegabytes(host.pid, 'now');
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < trees) {
      next += 1;
      // No two alike: the host would ask the driver once.
      const { uast } = await host.client.request('parse', {
        content: `${content}\n// ${next}`,
        language: cannedLanguage,
        filename: file,
      });
      (uast as RawJson).free();
    }
  };
  await Promise.all([lane(), lane()]);
  const after = await residentMegabytes(host.pid, 'now');
  const peak = await residentMegabytes(host.pid, 'at most');
  const baseline = { name: 'the host’s memory when idle, after its first parse', value: summarise([idle]) };
  const bound = { name: 'a bound of 120 MB', value: summarise([120]) };
  return [
    { name: `resident memory of the host after ${trees} trees`, unit: 'MB', value: summarise([after]), baseline },
    {
      name: `peak memory of the host during ${trees} trees`,
      unit: 'MB',
      value: summarise([peak]),
      baseline: bound,
      target: { ratio: 1, is: 'at most' },
    },
  ];
}

async function treeOf(root: string, file: string, content: string): Promise<Uint8Array> {
  await using host = serveHostWithRawTrees(root);
  const { uast } = await host.client.request('parse', { content, language: 'javascript', filename: file });
  return Buffer.concat((uast as RawJson).chunks);
}
