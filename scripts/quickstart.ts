// `npm run quickstart`: from a clone to two parsed files. Builds the catalogue's driver images, installs them into a root
// of this folder's own (.babelhost), starts the host as an editor would, and parses a sample of each language. What is
// there already is not made again.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import manifest from '../package.json' with { type: 'json' };
import { Client } from '../src/protocol/client.ts';
import type { Result } from '../src/protocol/methods.ts';

const project = fileURLToPath(new URL('..', import.meta.url));
const home = path.join(project, '.babelhost');
const root = path.join(home, 'root');
const catalogue = path.join(project, 'catalog', 'drivers.toml');
const program = path.join(project, manifest.bin.babelhost);

const samples = [
  {
    language: 'python',
    filename: 'greeting.py',
    content: '# Greets.\ndef greet(name: str) -> str:\n    """Says hello."""\n    return f"Grüß dich, {name}!"\n',
  },
  {
    language: 'typescript',
    filename: 'greeting.ts',
    content:
      'interface Person { name: string }\nexport const greet = ({ name }: Person): string => `Grüß dich, ${name}!`;\n',
  },
];

const startedAt = performance.now();
function step(sentence: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stdout.write(`${styleText('dim', `${seconds.padStart(5)} s`)}  ${sentence}\n`);
}

/** Starts `babelhost serve --stdio` and speaks to it over its pipes. */
async function withHost<T>(use: (client: Client) => Promise<T>): Promise<T> {
  const child = spawn(process.execPath, [program, 'serve', '--stdio', '--root', root, '--log-level', 'warn'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const client = new Client(child.stdout, child.stdin);
  try {
    await client.request('initialize', { processId: process.pid, clientInfo: { name: 'quickstart' } });
    const result = await use(client);
    await client.request('shutdown', {});
    await client.notify('exit');
    const status = await ended;
    if (status !== 0) throw new Error(`the host ended with status ${status}`);
    return result;
  } finally {
    client[Symbol.dispose]();
    child.stdin.end();
  }
}

/** What a driver's image is made of besides this machine's interpreter: where it has not changed, neither has the image. */
async function fingerprint(folder: string): Promise<string> {
  const hash = createHash('sha256').update(await readFile(path.join(project, 'package-lock.json')));
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const file of files
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort()) {
    hash.update(file).update(await readFile(file));
  }
  return hash.digest('hex');
}

/** Installs one driver of the catalogue file, unless the one that is installed was made of the same files. */
async function installDriver(
  client: Client,
  { language, recipe }: Result<'driver/catalogue'>['drivers'][number],
): Promise<void> {
  if (recipe === undefined) throw new Error(`the catalogue's driver for ${language} has no recipe`);
  const mark = path.join(home, `${language}.made-of`);
  const wanted = await fingerprint(recipe);
  const made = await readFile(mark, 'utf8').catch(() => '');
  const { drivers } = await client.request('driver/list', {});
  if (made === wanted && drivers.some((driver) => driver.language === language)) {
    step(`The ${language} driver is installed already.`);
    return;
  }
  const { driver } = await client.request('driver/install', { recipe, language, update: true });
  const { digest, sizeBytes, manifest } = driver;
  step(`Built the ${language} driver's image: ${(sizeBytes / 1e6).toFixed(0)} MB, ${digest.slice(0, 19)}…`);
  step(`Installed it for ${[driver.language, ...manifest.aliases].join(', ')}.`);
  await writeFile(`${mark}.new`, wanted);
  await rename(`${mark}.new`, mark);
}

/** A tree in a few lines: node types, with names and literals, down to a depth. */
function outline(node: unknown, depth = 0): string[] {
  if (typeof node !== 'object' || node === null || depth > 6) return [];
  if (Array.isArray(node)) return node.flatMap((child) => outline(child, depth));
  const fields = node as Record<string, unknown>;
  const type = fields['_type'] ?? fields['type'];
  const children = Object.entries(fields).flatMap(([key, child]) =>
    key === 'loc' || key === 'extra' ? [] : outline(child, typeof type === 'string' ? depth + 1 : depth),
  );
  if (typeof type !== 'string') return children;
  const name = fields['name'] ?? fields['id'] ?? fields['arg'] ?? fields['value'];
  const label = typeof name === 'string' ? ` ${styleText('green', JSON.stringify(name))}` : '';
  return [`${'  '.repeat(depth)}${type}${label}`, ...children];
}

async function parseSample(client: Client, sample: (typeof samples)[number]): Promise<Result<'parse'>> {
  const result = await client.request('parse', { content: sample.content, filename: sample.filename });
  step(`Parsed ${sample.filename} (${sample.language}) in ${result.elapsedMs.toFixed(0)} ms: ${result.status}.`);
  const lines = outline(result.uast);
  const shown = 24;
  for (const line of lines.slice(0, shown)) process.stdout.write(`           ${line}\n`);
  if (lines.length > shown) process.stdout.write(`           … ${lines.length - shown} more nodes\n`);
  return result;
}

await mkdir(home, { recursive: true });
await withHost(async (client) => {
  const info = await client.request('host/info', {});
  const weak = info.isolation.filter(({ enforced }) => enforced !== 'yes').map(({ name }) => name);
  step(
    `The host runs: babelhost ${info.version}, Node ${info.node}, ${info.runtime.name}; ` +
      (weak.length === 0 ? 'every protection is in force.' : `weaker than could be: ${weak.join(', ')} (see doctor).`),
  );
  // What `babelhost driver install --all` installs.
  const { drivers } = await client.request('driver/catalogue', { file: catalogue });
  for (const driver of drivers) await installDriver(client, driver);
  for (const sample of samples) await parseSample(client, sample);
  const { instances } = await client.request('host/instances', {});
  step(
    `Each was parsed in a container of its own: ${instances.map(({ language, pid }) => `${language} is process ${pid}`).join(', ')}.`,
  );
});
step('The host has ended, and its containers with it. Next: npx babelhost --root .babelhost/root parse src');
