// The host's resident memory while it passes on a thousand large trees, against its memory when idle.
import { readFile } from 'node:fs/promises';
import { fileOfSize } from './corpus.ts';
import type { Figure } from './report.ts';
import { serveHost } from './setting.ts';
import { summarise } from './statistics.ts';

const trees = 1000;

export async function measureMemory(root: string): Promise<Figure[]> {
  const { file, content } = await fileOfSize(150 * 1024);
  const hints = { language: 'javascript', filename: file };
  await using host = serveHost(root);
  await host.client.request('parse', { content: 'x', ...hints });
  const idle = await residentMegabytes(host.pid, 'VmRSS');
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < trees) {
      next += 1;
      await host.client.request('parse', { content, ...hints });
    }
  };
  await Promise.all([lane(), lane()]);
  const after = await residentMegabytes(host.pid, 'VmRSS');
  const peak = await residentMegabytes(host.pid, 'VmHWM');
  const baseline = { name: 'the host’s memory when idle, after its first parse', value: summarise([idle]) };
  return [
    { name: `resident memory of the host after ${trees} trees`, unit: 'MB', value: summarise([after]), baseline },
    {
      name: `peak memory of the host during ${trees} trees`,
      unit: 'MB',
      value: summarise([peak]),
      baseline,
      target: { ratio: 1.5, is: 'at most' },
    },
  ];
}

async function residentMegabytes(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024;
}
