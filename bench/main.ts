// `npm run bench`: how much babelhost adds to its drivers. Each figure stands beside a baseline of the same run. `--help`
// tells the options and the measurements.
import { measureColdFolder } from './cold-folder.ts';
import { measureContainers } from './containers.ts';
import { measureDrivers } from './drivers.ts';
import { measureFiles } from './files.ts';
import { measureImages } from './images.ts';
import { measureLatency } from './latency.ts';
import { measureMemory } from './memory.ts';
import { chosen, help, options } from './options.ts';
import { measurePool } from './pool.ts';
import { measureProcessorTime } from './processor-time.ts';
import { measurePython } from './python.ts';
import { report, type Figure } from './report.ts';
import { makeRoot } from './setting.ts';
import { measureStart } from './start.ts';
import { measureStorm } from './storm.ts';
import { measureThroughput } from './throughput.ts';

const measurements: ReadonlyMap<string, (root: string) => Promise<Figure[]>> = new Map([
  ['latency', measureLatency],
  ['throughput', measureThroughput],
  ['files', measureFiles],
  ['cold-folder', measureColdFolder],
  ['python', measurePython],
  ['processor-time', measureProcessorTime],
  ['pool', measurePool],
  ['start', measureStart],
  ['memory', measureMemory],
  ['drivers', measureDrivers],
  ['images', measureImages],
  ['containers', measureContainers],
  ['storm', measureStorm],
]);

async function main(): Promise<void> {
  const names = [...measurements.keys()];
  if (options.help) {
    process.stdout.write(help(names));
    return;
  }
  const wanted = chosen(names, options.only);
  if ('fault' in wanted) {
    process.stderr.write(`${wanted.fault}\n`);
    process.exitCode = 2;
    return;
  }
  await using place = await makeRoot();
  const figures: Figure[] = [];
  for (const [name, measure] of measurements) {
    if (!wanted.includes(name)) continue;
    process.stderr.write(`measuring ${name} …\n`);
    figures.push(...(await measure(place.root)));
  }
  report(figures);
}

await main();
