// `npm run bench`: how much babelhost adds to its drivers. Each figure stands beside a baseline of the same run.
//   --json       the figures as JSON
//   --check      exit status 1 where a target is missed
//   --only TEXT  only the measurements whose name contains TEXT
import { measureContainers } from './containers.ts';
import { measureImages } from './images.ts';
import { measureLatency } from './latency.ts';
import { measureMemory } from './memory.ts';
import { measurePool } from './pool.ts';
import { options, report, type Figure } from './report.ts';
import { makeRoot } from './setting.ts';
import { measureStart } from './start.ts';
import { measureThroughput } from './throughput.ts';

const measurements: Readonly<Record<string, (root: string) => Promise<Figure[]>>> = {
  latency: measureLatency,
  throughput: measureThroughput,
  pool: measurePool,
  start: measureStart,
  memory: measureMemory,
  images: measureImages,
  containers: measureContainers,
};

await using place = await makeRoot();
const figures: Figure[] = [];
for (const [name, measure] of Object.entries(measurements)) {
  if (options.only !== undefined && !name.includes(options.only)) continue;
  process.stderr.write(`measuring ${name} …\n`);
  figures.push(...(await measure(place.root)));
}
report(figures);
