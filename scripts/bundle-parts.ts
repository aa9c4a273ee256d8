// What of the program is loaded when, for scripts/bundle.ts: which modules lie in one file, and which files and which of
// Node's own modules are loaded only when something of theirs is first used. A host that is started is waited for, and
// what its first answer does not need can be loaded after it.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'rolldown';

interface Part {
  /** Its modules: these, and what they import, but for what stands in another part. */
  readonly roots: readonly string[];
  /** Whether it is loaded when something of it is first used, rather than with whatever imports it. */
  readonly late?: true;
}

/** In the order in which a module is looked for; a part may import from those before it, and from late ones. */
export const parts: Readonly<Record<string, Part>> = {
  start: { roots: ['cli/program.ts', 'cli/commands/serve.ts', 'cli/session.ts'] },
  host: {
    roots: [
      'host.ts',
      'base/log.ts',
      // With a fault there may be no file descriptor left to load these with.
      'container/diagnose/failures.ts',
      'container/guard/exec-in-guard.ts',
      'protocol/message-id.ts',
    ],
  },
  detection: { late: true, roots: ['drivers/parse/detection.ts'] },
  // What the containers' guard is started with, to be at work while the rest is loaded.
  guard: {
    late: true,
    roots: [
      'container/cgroup/placement.ts',
      'container/guard/guard.ts',
      'container/diagnose/isolation.ts',
      'container/guard/pinned-programs.ts',
      'container/guard/stage.ts',
    ],
  },
  boot: {
    late: true,
    roots: [
      'boot-driver.ts',
      'container/boot/boot.ts',
      'container/oci/mount-points.ts',
      'drivers/installed/manifest.ts',
      'drivers/process/native-protocol.ts',
      'drivers/pool/pool.ts',
      'images/store/lock.ts',
      'images/documents.ts',
    ],
  },
  rest: {
    late: true,
    roots: [
      'container/boot/execute.ts',
      'container/lifecycle/copy.ts',
      'container/lifecycle/definition.ts',
      'container/lifecycle/run.ts',
      'container/diagnose/machine.ts',
      'drivers/parse/files.ts',
      'images/arriving-blob.ts',
      'images/install.ts',
      'images/push.ts',
      'images/store/collect.ts',
      'images/store/unpack-image.ts',
      'images/transports/open.ts',
      'images/unpack/read-inside.ts',
      'protocol/openrpc.ts',
      '../node_modules/pino/lib/transport.js',
      '../node_modules/smol-toml/dist/index.js',
      '../node_modules/zod/v4/core/json-schema-processors.js',
      '../node_modules/zod/v4/core/to-json-schema.js',
    ],
  },
};

const order = Object.keys(parts);

/** Finds the part of each module. */
export class Parts {
  readonly #of = new Map<string, string>();
  readonly #source: string;

  /** @param source the folder that the roots are in */
  constructor(source: string) {
    this.#source = source;
  }

  /** The groups of rolldown's `codeSplitting`. */
  get groups(): { name: string; test: (id: string) => boolean; priority: number }[] {
    return order.map((name, index) => ({
      name,
      test: (id) => this.#of.get(id) === name,
      priority: order.length - index,
    }));
  }

  /** Walks the modules once they are known. */
  get plugin(): Plugin {
    const of = this.#of;
    const rootsOf = (part: Part): string[] => part.roots.map((root) => path.join(this.#source, root));
    const lateRoots = new Map(
      Object.entries(parts).flatMap(([name, part]) =>
        part.late ? rootsOf(part).map((id) => [id, name] as const) : [],
      ),
    );
    return {
      name: 'find-parts',
      buildEnd() {
        for (const [name, part] of Object.entries(parts)) {
          const add = (id: string): void => {
            const module = this.getModuleInfo(id);
            if (module === null || of.has(id) || (lateRoots.get(id) ?? name) !== name) return;
            of.set(id, name);
            module.importedIds.forEach(add);
          };
          for (const root of rootsOf(part)) {
            if (this.getModuleInfo(root) === null)
              throw new Error(`${root}, which scripts/bundle-parts.ts names, is no module`);
            add(root);
          }
        }
      },
    };
  }
}

/** Those of Node's own modules that take long to load and that a host does not need before its first answer. */
const lateModules = 'child_process|crypto|stream/consumers|timers/promises|worker_threads|zlib';

/** Loads what is late at the first use of it. */
export const loadLate: Plugin = {
  name: 'load-late',
  renderChunk(code) {
    return {
      code: code
        // As ES modules import them, and as CommonJS ones do that take the whole module.
        .replace(
          new RegExp(
            `^let (\\w+) = require\\("(node:(?:${lateModules}))"\\);\\n(?:\\1 = (.*\\()\\1(, 1\\));\\n)?`,
            'gm',
          ),
          (_, name: string, module: string, before = '', after = '') =>
            late(name, `${before}require("${module}")${after}`),
        )
        .replace(
          new RegExp(`^\\tconst (\\w+) = require\\("((?:${lateModules}))"\\);\\n`, 'gm'),
          (_, name: string, module: string) => late(name, `require("${module}")`),
        )
        .replace(
          /^const (require_(\w+)) = require\("(\.\/program-\2\.cjs)"\);\n/gm,
          (text, name: string, part: string, file: string) =>
            parts[part]?.late === true ? late(name, `require("${file}")`) : text,
        )
        // As OpenTelemetry's exporter has it: scripts/bundle-entry.cjs has no import() to offer.
        .replace(/\bimport\("(https?)"\)/g, 'Promise.resolve(require("$1"))')
        // As pino's writers use it: to check what only a fault of theirs could break.
        .replaceAll('const assert = require("assert");', 'const assert = (...values) => require("assert")(...values);'),
    };
  },
};

function late(name: string, load: string): string {
  return `const ${name} = ((module) => new Proxy({}, { get: (_, key) => (module ??= ${load})[key] }))();\n`;
}

/** The file names in vscode-jsonrpc of what the host's side of a connection uses, with their exports. */
const connectionModules = {
  disposable: 'Disposable',
  messages: 'ErrorCodes, Message, ResponseError',
  messageReader: 'AbstractMessageReader',
  messageWriter: 'AbstractMessageWriter',
};

/**
 * Of vscode-jsonrpc, without what only a client has: connections of its own, cancellation, transports. The whole package
 * puts an environment in place, of which these modules use the console, for a listener that throws.
 */
export const connectionOnly: Plugin = {
  name: 'connection-only',
  resolveId: (id, importer) =>
    id === 'vscode-jsonrpc/node' && importer?.endsWith('/protocol/client.ts') === false ? '\0connection' : null,
  load: {
    filter: { id: /^\0connection$/ },
    handler() {
      const folder = path.dirname(fileURLToPath(import.meta.resolve('vscode-jsonrpc')));
      const from = (name: string) => JSON.stringify(path.join(folder, `${name}.js`));
      return [
        `import environment from ${from('ral')};`,
        'try { environment() } catch { environment.install({ console }) }',
        ...Object.entries(connectionModules).map(([name, names]) => `export { ${names} } from ${from(name)};`),
      ].join('\n');
    },
  },
};

/** The clock, without `node:perf_hooks`, which Node loads at the first use of its global `performance`. */
export const plainClock: Plugin = {
  name: 'plain-clock',
  transform: {
    filter: { id: /\/src\/.*\.ts$/ },
    handler: (code) => ({ code: code.replaceAll('performance.now()', '(globalThis.process.uptime() * 1000)') }),
  },
};

/** Of pino, what is there for transports, which run in threads of their own and of which babelhost has none. */
export const withoutTransports: Plugin = {
  name: 'without-transports',
  transform: {
    filter: { id: /\/node_modules\/pino\/(pino|lib\/tools|lib\/caller)\.js$/ },
    handler(code, id) {
      const replaced = id.endsWith('caller.js')
        ? // Whose modules asked for a logger, to resolve a transport's name: asks V8 for the lines of the whole program.
          'module.exports = () => [];'
        : code
            .replace(
              "const transport = require('./transport')",
              "const transport = (...args) => require('./transport')(...args)",
            )
            .replace("module.exports.transport = require('./lib/transport')", '')
            .replace("const { isMainThread } = require('worker_threads')", '')
            .replace('&& isMainThread', "&& require('worker_threads').isMainThread");
      if (replaced === code) throw new Error(`${id} is not as scripts/bundle-parts.ts knows it`);
      return { code: replaced };
    },
  },
};
