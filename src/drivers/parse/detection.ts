// Which language a source is in, by Linguist's data and in Linguist's order: an editor's modeline, the file's name, the
// interpreter that its first line names, its extension. The data is the package `linguist-languages`, which is loaded when
// first needed: many clients name their language.
import type { Language } from 'linguist-languages';

interface Tables {
  /** Names and aliases, lower case. */
  readonly names: ReadonlyMap<string, Language>;
  readonly filenames: ReadonlyMap<string, readonly Language[]>;
  readonly extensions: ReadonlyMap<string, readonly Language[]>;
  readonly interpreters: ReadonlyMap<string, readonly Language[]>;
}

let tables: Promise<Tables> | undefined;

/** How much of a source's beginning and end is searched, in characters. */
const endLength = 2048;

const modelineLines = 5;

export interface Source {
  /** A file's name or path; the last part counts. */
  readonly filename?: string;
  /** The content, or its beginning. */
  readonly content?: string;
}

/**
 * The languages that a source may be in, as Babelfish writes them (lower case, `c++` as `cpp`), the likeliest first.
 * More than one where name and content leave it open, as with `.h`; none where nothing is known.
 */
export async function detectLanguages(source: Source): Promise<string[]> {
  tables ??= loadTables();
  const { names, filenames, extensions, interpreters } = await tables;
  const { content = '' } = source;
  const head = content.slice(0, endLength);
  const tail = content.slice(-endLength);
  const modeline = modelineLanguage(head) ?? (tail === head ? undefined : modelineLanguage(tail));
  const named = modeline === undefined ? undefined : names.get(modeline.toLowerCase());
  if (named !== undefined) return [normalise(named.name)];

  const base = /[^/\\]*$/.exec(source.filename ?? '')?.[0] ?? '';
  const interpreter = shebangInterpreter(head);
  const strategies = [
    filenames.get(base),
    interpreter === undefined ? undefined : interpreters.get(interpreter),
    extensionsOf(base)
      .map((extension) => extensions.get(extension))
      .find((found) => found !== undefined),
  ];
  let candidates: readonly Language[] = [];
  for (const found of strategies) {
    if (found === undefined) continue;
    const both = candidates.filter((language) => found.includes(language));
    // As in Linguist, a later strategy narrows what an earlier one found, and never overrules it.
    candidates = candidates.length === 0 ? found : both.length === 0 ? candidates : both;
    if (candidates.length === 1) break;
  }
  return candidates.map((language) => normalise(language.name));
}

/** All names of a language in Linguist's data, for one of its names or aliases; none where it is not known. */
export async function languageNames(name: string): Promise<string[]> {
  tables ??= loadTables();
  const language = (await tables).names.get(name.toLowerCase());
  if (language === undefined) return [];
  return [normalise(language.name), ...(language.aliases ?? []).map(normalise)];
}

/** A name as Babelfish writes it. */
function normalise(name: string): string {
  const lower = name.toLowerCase();
  const special: Readonly<Record<string, string>> = { 'c++': 'cpp', 'c#': 'csharp', 'f#': 'fsharp' };
  return special[lower] ?? lower.replaceAll(' ', '-');
}

/** As `.d.ts`, then `.ts`: Linguist knows extensions of several parts, and the longest counts. */
function extensionsOf(base: string): string[] {
  const parts = base.toLowerCase().split('.').slice(1);
  return parts.map((_, index) => `.${parts.slice(index).join('.')}`);
}

/** The interpreter that a first line of `#!` names, without its path and version. */
function shebangInterpreter(head: string): string | undefined {
  const line = /^#!\s*(.*)/.exec(head)?.[1];
  if (line === undefined) return undefined;
  const words = line.trim().split(/\s+/);
  let program = words.shift()?.split('/').pop();
  if (program === 'env') {
    // Options and assignments come before the program: `env -S deno run`, `env LANG=C perl`.
    program = words
      .find((word) => !word.startsWith('-') && !word.includes('='))
      ?.split('/')
      .pop();
  }
  // `python3.11` is Linguist's `python3`.
  return program?.replace(/^([a-z]+\d*)\.[\d.]+$/, '$1');
}

/** The language that a modeline of Emacs or Vim names (Linguist's strategy/modeline.rb has the forms). */
function modelineLanguage(text: string): string | undefined {
  // Most sources have none, which this sees faster than the split into lines.
  if (!text.includes('-*-') && !/(?:vim?|ex)\d*:/.test(text)) return undefined;
  const lines = text.split('\n');
  const near = [...lines.slice(0, modelineLines), ...lines.slice(-modelineLines)];
  for (const line of near) {
    const emacs = /-\*-\s*(?:(?!mode\s*:)[^:;]+:[^:;]+;\s*)*(?:mode\s*:\s*)?([\w+#-]+)\s*(?:;.*?)?-\*-/i.exec(
      line,
    )?.[1];
    if (emacs !== undefined) return emacs;
    const vim = /(?:^|\s)(?:vi|vim|ex)\d*:\s?(?:set?\s)?.*?\b(?:ft|filetype|syntax)\s*=\s*([\w+#-]+)/.exec(line)?.[1];
    if (vim !== undefined) return vim;
  }
  return undefined;
}

async function loadTables(): Promise<Tables> {
  const languages = Object.values<Language>(await import('linguist-languages')).sort(byLikelihood);
  const collect = (keysOf: (language: Language) => readonly string[] | undefined): Map<string, Language[]> => {
    const map = new Map<string, Language[]>();
    for (const language of languages) {
      for (const key of keysOf(language) ?? []) {
        const list = map.get(key);
        if (list === undefined) map.set(key, [language]);
        else list.push(language);
      }
    }
    return map;
  };
  const names = new Map<string, Language>();
  for (const language of languages)
    for (const alias of language.aliases ?? []) names.set(alias.toLowerCase(), language);
  for (const language of languages) names.set(language.name.toLowerCase(), language);
  return {
    names,
    filenames: collect((language) => language.filenames),
    extensions: collect((language) => language.extensions?.map((extension) => extension.toLowerCase())),
    interpreters: collect((language) => language.interpreters),
  };
}

/**
 * The likelier first: prose (`.md` is Markdown before it is GCC's machine descriptions), programming languages, markup,
 * data; of each the ones that an editor has a mode for (`.rs` is Rust before it is RenderScript). Which languages are
 * popular is not in the data.
 */
function byLikelihood(a: Language, b: Language): number {
  const rank = ({ type, aceMode }: Language): number => 2 * types.indexOf(type) + (aceMode === 'text' ? 1 : 0);
  return rank(a) - rank(b);
}

const types: readonly Language['type'][] = ['prose', 'programming', 'markup', 'data'];
