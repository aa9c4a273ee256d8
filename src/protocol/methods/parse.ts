// The methods that parse: one source, or many files.
import { z } from 'zod';
import { method, name, progressToken, workDone } from './method.ts';

const mode = () =>
  z
    .enum(['native', 'preprocessed', 'annotated', 'semantic'])
    .describe('What to return; `native` (the parser’s own tree) where it is not given.');

/** A parser's complaint about a source: a sentence, with its place where the parser tells it. */
const sourceError = () =>
  z.looseObject({
    message: z.string(),
    line: z.int().optional().describe('Counted from 1.'),
    column: z.int().optional().describe('In characters, counted from 1.'),
    offset: z.int().optional().describe('As the driver counts, from 0.'),
  });

const parseResult = () =>
  z.object({
    language: z.string(),
    mode: mode(),
    status: z.enum(['ok', 'error']).describe('`error`: the source has faults; `errors` tells them.'),
    errors: z.array(sourceError()),
    driver: z.object({ language: z.string(), version: z.string().optional(), digest: z.string() }),
    elapsedMs: z.number().describe('From the request’s arrival to the driver’s answer.'),
    uastBytes: z
      .int()
      .optional()
      .describe('How many bytes `uast` has in this message, for a client that steps over it undecoded.'),
    uast: z
      .unknown()
      .describe('The tree as the driver wrote it, or null where it made none, or was not asked (an empty source).'),
  });

/** An error inside a result, with the same code, kind and data that an answer of its own would have. */
const errorValue = () =>
  z.object({
    code: z.int(),
    message: z.string(),
    data: z.looseObject({ kind: z.string() }),
  });

export const fileResult = () =>
  z.union([parseResult().extend({ uri: z.string() }), z.object({ uri: z.string(), error: errorValue() })]);

/** The limits of a request, of `parse/files` for each file. */
const times = () => {
  const milliseconds = z.int().positive().max(86_400_000).optional();
  return {
    timeoutMs: milliseconds.describe('How long a driver may take to parse, from when it has the source.'),
    queueTimeoutMs: milliseconds.describe('How long to wait until a driver takes the source.'),
  };
};

const globs = () => z.array(z.string().min(1).max(4096)).max(1000);

export const parseMethods = {
  parse: method({
    summary: 'Parses one source and returns its tree.',
    description:
      'Give `content` or `uri`. A source of no bytes has status `ok` and null for its tree, without a driver being asked: ' +
      'those that make a tree of it have `content.empty` among the `features` of their manifest. A source with syntax errors is a result with `status: "error"`, not an RPC error. ' +
      'Cancelling (`$/cancelRequest`), `timeoutMs` and `queueTimeoutMs` free the client at once; `limit` in the data of a `timeout` says ' +
      'which of the two it was.',
    params: () =>
      z
        .strictObject({
          content: z.string().optional().describe('The source itself.'),
          uri: z
            .string()
            .max(65536)
            .optional()
            .describe(
              'A `file:` URI of the source, read by the host. `%E9` in it is that byte: names need not be UTF-8.',
            ),
          encoding: z
            .enum(['utf8', 'base64'])
            .optional()
            .describe(
              'How `content` is encoded. With `base64`, of `content` or with `uri`, the source’s bytes go to a driver that decodes ' +
                'them itself (`content.base64` among the `features` of its manifest), and need not be UTF-8; any other driver gets their text.',
            ),
          language: name().optional().describe('A language or an alias; detected from filename and content else.'),
          filename: z.string().max(65536).optional().describe('Helps to detect the language and the dialect.'),
          mode: mode().optional(),
          ...times(),
          ...workDone(),
        })
        .refine((params) => (params.content === undefined) !== (params.uri === undefined), {
          error: 'give either content or uri',
        }),
    result: parseResult,
    errors: [
      'driverNotInstalled',
      'driverCrashed',
      'driverFailed',
      'driverProtocol',
      'languageNotDetected',
      'invalidEncoding',
      'modeNotSupported',
      'contentTooLarge',
      'responseTooLarge',
      'timeout',
      'overloaded',
      'notFound',
      'storageDirty',
      'containerFailed',
      'runtimeMissing',
    ],
  }),
  'parse/files': method({
    summary: 'Parses many files; results stream on `partialResultToken` as they are done.',
    description:
      'Files are those of `uris`, or those below `root` that match `include` and not `exclude`. Below `root`, files ' +
      'whose language is unknown or has no driver are counted as skipped, and links are not followed; each of `uris` gets a result or an error. ' +
      'Below `root`, hidden files and what ignore files name are left out: `.ignore`, then, in a git repository, `.gitignore`, ' +
      '`.git/info/exclude` and the user’s `core.excludesFile`, each with those of the folders above `root`, but never `root` itself. ' +
      'A client that reads slowly slows the work down; nothing is dropped. Without a token only the summary is made.',
    params: () =>
      z
        .strictObject({
          root: z.string().max(65536).optional().describe('A `file:` URI of a folder.'),
          include: globs()
            .optional()
            .describe(
              'Globs relative to `root`; all files where it is not given. A name that is no UTF-8 is read as Latin-1.',
            ),
          exclude: globs().optional().describe('Globs relative to `root`; `.git` folders where it is not given.'),
          noIgnore: z.boolean().optional().describe('Parse what ignore files leave out, too.'),
          hidden: z.boolean().optional().describe('Parse below `root` also what has a name with a leading dot.'),
          uris: z.array(z.string().max(65536)).max(10_000_000).optional(),
          language: name().optional(),
          mode: mode().optional(),
          ...times(),
          partialResultToken: progressToken().optional(),
          ...workDone(),
        })
        .refine((params) => (params.root === undefined) !== (params.uris === undefined), {
          error: 'give either root or uris',
        }),
    result: () =>
      z.object({
        files: z.int().describe('Files that got a result or an error.'),
        ok: z.int(),
        error: z.int().describe('Files with faults in their source.'),
        failed: z.int().describe('Files that got an error.'),
        failures: z.record(z.string(), z.int()).describe('The failed ones by error kind.'),
        skipped: z.int().describe('Files below `root` whose language is unknown or has no driver.'),
        skippedLanguages: z.record(z.string(), z.int()).describe('The skipped ones by language; `` for unknown.'),
        ignored: z.int().describe('Files and folders below `root` that ignore files leave out.'),
        warnings: z
          .array(z.object({ uri: z.string(), message: z.string() }))
          .describe(
            'Folders below `root` that could not be read, and ignore files that could not be used; at most 101.',
          ),
        bytes: z.int().describe('Bytes of source handed to drivers.'),
        elapsedMs: z.number(),
      }),
    partialResult: () => z.array(fileResult()),
    errors: ['notFound', 'modeNotSupported', 'storageDirty'],
  }),
};
