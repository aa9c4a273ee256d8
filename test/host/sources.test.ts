// Sources on their way through a host: a driver reads what the client sent, in whichever way that was written.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FrameReader } from '../../src/protocol/framing/frame-reader.ts';
import { listeningHost, type ListeningHost } from '../support/listening-host.ts';

/** Answers with the request that it was written, as it was written. */
const script = `
while IFS= read -r line; do
  printf '{"status":"ok","errors":[],"ast":%s}\\n' "$line"
done`;

let host: ListeningHost;

beforeAll(async () => {
  const manifest = `language = "mirror"\nfeatures = ["content.base64", "content.empty"]\n`;
  const options = ['--max-instances', '1', '--max-content-bytes', '1M'];
  host = await listeningHost({ language: 'mirror', script, manifest }, options);
});

afterAll(async () => {
  await host[Symbol.asyncDispose]();
});

interface Answer {
  readonly result?: { readonly uast: unknown };
  readonly error?: { readonly data: object };
}

class RawClient implements Disposable {
  readonly #stream: Socket;
  readonly #waiting: ((answer: Answer) => void)[] = [];

  private constructor(stream: Socket) {
    this.#stream = stream;
    const reader = new FrameReader(stream, {
      messageBytes: 1 << 24,
      onFault: (fault) => {
        expect(fault).toBeUndefined();
      },
    });
    reader.listen((message) => this.#waiting.shift()?.(message as Answer));
  }

  static async open(): Promise<RawClient> {
    const stream = connect(host.socket);
    await once(stream, 'connect');
    return new RawClient(stream);
  }

  /** Asks with the JSON of a source as it is given. */
  ask(literal: string, more = '"language":"mirror"'): Promise<Answer> {
    const content = `{"jsonrpc":"2.0","id":1,"method":"parse","params":{"content":${literal},${more}}}`;
    this.#stream.write(`Content-Length: ${Buffer.byteLength(content)}\r\n\r\n${content}`);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  [Symbol.dispose](): void {
    this.#stream.destroy();
  }
}

describe('a source on its way through a host', () => {
  it.each([
    ['plain', '"x = 1"'],
    ['empty', '""'],
    ['with escapes', '"a\\n\\t\\"b\\"\\\\ \\u001f"'],
    ['with characters of two to four bytes', '"é\u2028😀"'],
    ['with escapes that need not be', '"\\u0041\\/\\ud83d\\ude00\\u00E9"'],
    ['with half a character', '"a\\ud800b"'],
    ['of 200 KB', JSON.stringify('"line"\n\té'.repeat(20_000))],
  ])('reaches the driver as it was sent: %s', async (_what, literal) => {
    using client = await RawClient.open();
    const { result } = await client.ask(literal);
    expect(result?.uast).toEqual({ content: JSON.parse(literal) as string, encoding: 'utf8' });
  });

  it('is refused where it is too long, is not base64, or stands beside a uri', async () => {
    using client = await RawClient.open();
    const mirror = '"language":"mirror"';
    const refused: [string, string][] = [
      [JSON.stringify('é\n'.repeat(400_000)), mirror],
      ['"%%%"', `${mirror},"encoding":"base64"`],
      ['"x"', `${mirror},"uri":"file:///x"`],
      ['"x"', `${mirror},"unknown":1`],
      ['"x"', '"filename":"x.unknown-language"'],
    ];
    const answers = [];
    for (const [literal, more] of refused) answers.push(await client.ask(literal, more));
    expect(answers.map(({ error }) => error?.data)).toMatchObject([
      { kind: 'contentTooLarge', contentBytes: 1_200_000 },
      { kind: 'invalidEncoding' },
      { kind: 'invalidParams' },
      { kind: 'invalidParams' },
      { kind: 'languageNotDetected' },
    ]);
    // As long as it may be, though its JSON is longer.
    expect(await client.ask(JSON.stringify('\n'.repeat(1 << 20)))).toHaveProperty('result');
    const base64 = Buffer.from('x').toString('base64');
    const { result } = await client.ask(JSON.stringify(base64), `${mirror},"encoding":"base64"`);
    expect(result?.uast).toEqual({ content: base64, encoding: 'base64' });
  });

  it('is its own among many that are on their way at once', async () => {
    using client = await RawClient.open();
    const texts = Array.from({ length: 40 }, (_, index) => `${index} `.repeat(index % 2 === 0 ? 10 : 40_000));
    const answers = await Promise.all(texts.map((text) => client.ask(JSON.stringify(text))));
    const contents = answers.map(({ result }) => (result?.uast as { content: string }).content);
    expect(contents.toSorted()).toEqual(texts.toSorted());
  });
});
