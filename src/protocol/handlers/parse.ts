// The methods that parse: one source, or many files.
import { given } from '../../base/given.ts';
import { parseFiles, type FileOutcome } from '../../drivers/parse/files.ts';
import type { ParseAnswer } from '../../drivers/parse/parser.ts';
import { RawJson } from '../../json/raw-json.ts';
import type { FileResult, Result } from '../methods.ts';
import type { parseMethods } from '../methods/parse.ts';
import { errorObject } from '../server/responses.ts';
import type { Handlers, Sent } from './handler.ts';

export const parseHandlers: Handlers<keyof typeof parseMethods> = {
  parse: async (params, { client, id, span, signal }, { parser }) => {
    const { content, uri = '', encoding, language, filename, mode, timeoutMs, queueTimeoutMs } = params;
    const source = content === undefined ? { uri } : { content };
    const asked = { source, encoding, language, filename, mode, timeoutMs, queueTimeoutMs };
    return parseResult(await parser.parse({ ...asked, client, priority: 'interactive', id, span }, signal));
  },

  'parse/files': async (params, context, { parser, drivers, limits }) => {
    const { client, id, span, signal, progress, sendPartialResult } = context;
    progress.begin('Parsing');
    const { root, include, exclude, noIgnore, hidden, uris = [], language, mode, timeoutMs, queueTimeoutMs } = params;
    return await parseFiles(
      parser,
      drivers,
      {
        from: root === undefined ? { uris } : { root, ...given({ include, exclude, noIgnore, hidden }) },
        client,
        id,
        ...given({ span, language, mode, timeoutMs, queueTimeoutMs }),
      },
      {
        // For each instance: the file that it parses, the next one in the queue, and two that are being read meanwhile.
        concurrency: 4 * limits.maximumInstances,
        signal,
        onOutcomes: async (outcomes) => {
          await sendPartialResult?.(outcomes.map(fileResult));
        },
        onProgress: (done, total) => {
          progress.report({ phase: 'parse', done, ...given({ total }) });
        },
      },
    );
  },
};

function parseResult(answer: ParseAnswer): Sent<Result<'parse'>> {
  const { language, mode, status, errors, driver, elapsedMs, ast, memory } = answer;
  const uast = new RawJson(ast, () => {
    memory.free();
  });
  // The tree comes last: a person who looks at the message sees the rest first. Its length comes right before it, where
  // raw-trees.ts looks for it.
  return {
    language,
    mode,
    status,
    errors,
    driver: { language: driver.language, version: driver.manifest.version, digest: driver.digest },
    elapsedMs: Math.round(elapsedMs * 1000) / 1000,
    uastBytes: uast.byteLength,
    uast,
  };
}

function fileResult(outcome: FileOutcome): Sent<FileResult> {
  const { uri } = outcome;
  return 'answer' in outcome ? { uri, ...parseResult(outcome.answer) } : { uri, error: errorObject(outcome.error) };
}
