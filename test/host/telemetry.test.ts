// What can be seen of a host that works: metrics, traces and the log, and that none of them carries sources.
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { buildScriptDriver } from '../support/driver-images.ts';
import { serveHost, uriOf } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder, temporaryFolder } from '../support/temporary-folder.ts';

/** Answers, or fails as the source says, and talks of each source. */
const script = `
while IFS= read -r line; do
  printf 'parsing %s\\n' "$line" >&2
  case "$line" in
    *garbage*) echo garbage ;;
    *die*) exit 9 ;;
    *hang*) busybox sleep 1000 ;;
    *) printf '{"status":"ok","errors":[],"ast":{"done":true}}\\n' ;;
  esac
done`;

let folder: string;
let image: string;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  image = await buildScriptDriver(folder, { language: 'echo', script });
});

afterAll(() => removeFolder(folder));

describe('metrics', () => {
  it('are served on the loopback interface, under the names of Babelfish', async () => {
    const root = await temporaryFolder();
    await using host = serveHost(root, ['--metrics-port', '0', '--log-level', 'info', '--max-instances', '1']);
    const { client } = host;
    const { driver } = await client.request('driver/install', { reference: image });
    for (const content of ['a', 'bb', 'ccc']) await client.request('parse', { content, language: 'echo' });
    await expect(client.request('parse', { content: 'die', language: 'echo' })).rejects.toThrow();
    await expect(client.request('parse', { content: '', filename: 'x.py' })).rejects.toThrow();
    await expect(client.request('parse', { content: '', language: 'made-up' })).rejects.toThrow();
    const url = /http:\/\/127\.0\.0\.1:\d+\/metrics/.exec(host.log())?.[0] ?? '';
    const text = await (await fetch(url)).text();
    const labels = `{lang="echo",image="${driver.digest}"}`;
    const value = (name: string): number =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.slice(name.length),
      );
    expect(value(`bblfshd_parse_total${labels}`)).toBe(4);
    expect(value(`bblfshd_parse_errors${labels}`)).toBe(1);
    // What no driver was asked for has no labels: clients could make up as many as they like.
    expect(value('bblfshd_parse_errors{lang="",image=""}')).toBe(2);
    expect(text).not.toContain('made-up');
    expect(value(`bblfshd_parse_seconds_count${labels}`)).toBe(4);
    expect(value(`bblfshd_parse_bytes_sum${labels}`)).toBe(6);
    expect(value(`bblfshd_driver_spawn${labels}`)).toBeGreaterThanOrEqual(2);
    expect(value(`bblfshd_driver_kill${labels}`)).toBe(2);
    for (const name of ['spawn_errors', 'scaling_total', 'scaling_idle', 'scaling_load', 'scaling_target'])
      expect(value(`bblfshd_driver_${name}${labels}`)).toBeGreaterThanOrEqual(0);
    expect(value(`bblfshd_driver_install_total${labels}`)).toBe(1);
    expect(value('bblfshd_enry_total')).toBe(1);
    expect(value('bblfshd_enry_langs{lang="python"}')).toBe(1);
    expect(value('bblfshd_enry_seconds_count')).toBe(1);
    await client.request('driver/remove', { language: 'echo' });
    expect(await (await fetch(url)).text()).toContain(`bblfshd_driver_remove_total${labels} 1`);
    expect((await fetch(url.replace('metrics', 'x'))).status).toBe(404);
    expect((await fetch(url, { method: 'POST' })).status).toBe(405);
  });

  it('that cannot be served at their port keep the host from starting, and say so', async () => {
    const taken = createServer();
    await once(taken.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as AddressInfo;
    await using host = serveHost(await temporaryFolder(), ['--metrics-port', `${port}`]);
    expect(await host.ended).toBe(1);
    expect(host.log()).toContain('--metrics-port');
  });
});

interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly status?: { readonly code?: number };
  readonly attributes: { readonly key: string; readonly value: { readonly stringValue?: string } }[];
}

/** A collector that takes what OTLP's exporter sends by HTTP, as JSON. */
async function collector() {
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part: string) => (body += part));
    request.on('end', () => {
      bodies.push(`${request.url ?? ''} ${body}`);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    text: () => bodies.join('\n'),
    spans: () =>
      bodies.flatMap((body) => {
        const { resourceSpans } = JSON.parse(body.slice(body.indexOf(' '))) as {
          resourceSpans: { scopeSpans: { spans: Span[] }[] }[];
        };
        return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
      }),
  };
}

describe('traces', () => {
  it('go to the collector that the environment names, in the trace that a request belongs to', async () => {
    const { endpoint, text, spans } = await collector();
    const host = serveHost(await temporaryFolder(), [], { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
    const { client } = host;
    const { driver } = await client.request('driver/install', { reference: image });
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const _meta = { traceparent: `00-${traceId}-b7ad6b7169203331-01`, tracestate: 'vendor=1' };
    await client.request('parse', { content: 'marker', language: 'echo', _meta });
    await expect(client.request('parse', { content: 'die marker', language: 'echo' })).rejects.toThrow();
    await client.request('parse', { content: 'x', language: 'echo', _meta: { traceparent: 'nonsense' } });
    expect(await host.stop()).toBe(0);

    expect(text()).toMatch(/^\/v1\/traces /);
    const mine = spans().filter((span) => span.traceId === traceId);
    const request = mine.find(({ name }) => name === 'parse');
    expect(request?.parentSpanId).toBe('b7ad6b7169203331');
    for (const name of ['queue', 'instance'])
      expect(mine.find((span) => span.name === name)?.parentSpanId).toBe(request?.spanId);
    const attribute = (span: Span | undefined, key: string) =>
      span?.attributes.find((each) => each.key === key)?.value.stringValue;
    expect(attribute(request, 'babelhost.language')).toBe('echo');
    const install = spans().find(({ name }) => name === 'driver/install');
    expect(attribute(install, 'babelhost.image')).toBe(driver.digest);
    const failed = spans().filter(({ status }) => status?.code === 2);
    expect(failed.map((span) => attribute(span, 'error.type'))).toContain('driverCrashed');
    expect(spans().filter(({ name }) => name === 'parse')).toHaveLength(3);
    expect(text()).not.toContain('marker');
  });

  it('hold up nobody where there is no collector', async () => {
    const host = serveHost(await temporaryFolder(), [], { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' });
    await host.client.request('driver/install', { reference: image });
    await host.client.request('parse', { content: 'x', language: 'echo' });
    const startedAt = performance.now();
    expect(await host.stop()).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});

describe('the log', () => {
  it('tells requests and instances apart, and never quotes a source, at any level and whatever fails', async () => {
    const root = await temporaryFolder();
    const host = serveHost(root, ['--log-level', 'trace', '--grace', '100ms', '--max-instances', '2']);
    const { client } = host;
    await client.request('driver/install', { reference: image });
    const marker = 'f7e1-secret-marker';
    const parse = (content: string, more: object = {}) =>
      client.request('parse', { content: `${marker} ${content}`, language: 'echo', ...more }).catch(() => undefined);
    await parse('fine');
    await Promise.all([
      parse('die'),
      parse('garbage'),
      parse('hang', { timeoutMs: 300 }),
      parse('', { language: 'x' }),
    ]);
    await parse('not base64', { encoding: 'base64' });
    await parse('unknown', { language: undefined });
    const file = path.join(await temporaryFolder(), 'file');
    await writeFile(file, `${marker} die`);
    await client.request('parse', { uri: uriOf(file), language: 'echo' }).catch(() => undefined);
    await client.request('parse/files', { uris: [uriOf(file)], language: 'echo' });
    host.child.stdin.write(`Content-Length: ${marker.length + 2}\r\n\r\n{"${marker}`);
    host.child.stdin.end();
    await host.ended;
    const log = host.log();
    expect(log).toMatch(/"request":"c1-\d+","instance":"[0-9A-Z]{26}","kind":"driverCrashed"/);
    expect(log).not.toContain(marker);
    expect(log).toMatch(/"instance":"[0-9A-Z]{26}","lines":\d+,"characters":\d+,"msg":"the driver wrote to its stderr/);
  });

  it('has what drivers write to their stderr where that is asked for, with the instance', async () => {
    const host = serveHost(await temporaryFolder(), ['--log-driver-stderr']);
    await host.client.request('driver/install', { reference: image });
    await host.client.request('parse', { content: 'f7e1', language: 'echo' });
    expect(await host.stop()).toBe(0);
    expect(host.log()).toMatch(/"instance":"[0-9A-Z]{26}","stderr":"parsing [^\n]*f7e1[^\n]*","msg":"driver stderr"/);
  });
});
