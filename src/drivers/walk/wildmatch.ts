// The patterns of git's ignore files (gitignore(5)), matched as git's wildmatch.c does, byte by byte: texts are bytes read as
// Latin-1. A pattern comes from a stranger's repository, so the time is bounded by the length of the pattern times that of
// the path. Pure.

/** A byte, any byte, any run of bytes, or those of a class. */
type Token = number | 'any' | 'run' | Readonly<Uint8Array>;

/** What one folder or name must be; `**` is any number of them. */
export type Segment =
  | '**'
  | { readonly equals: string }
  | { readonly endsWith: string }
  | { readonly tokens: readonly Token[]; readonly minimum: number };

/**
 * Takes a pattern apart at its slashes.
 * @returns undefined for one that matches nothing, as with a bracket that is never closed
 */
export function compile(pattern: string): Segment[] | undefined {
  const segments: Segment[] = [];
  let tokens: Token[] = [];
  const endSegment = (): void => {
    segments.push(segmentOf(tokens));
    tokens = [];
  };
  for (let at = 0; at < pattern.length;) {
    const character = pattern[at];
    if (character === '[') {
      const found = compileClass(pattern, at);
      if (found === undefined) return undefined;
      tokens.push(found.members);
      at = found.end;
    } else if (character === '*') {
      let end = at;
      while (pattern[end] === '*') end += 1;
      const whole = tokens.length === 0 && end - at > 1 && (end === pattern.length || isSlash(pattern, end));
      if (whole) {
        segments.push('**');
        if (end === pattern.length) return segments;
        at = end + (pattern[end] === '\\' ? 2 : 1);
        if (at === pattern.length) return undefined;
      } else {
        tokens.push('run');
        at = end;
      }
    } else if (isSlash(pattern, at)) {
      endSegment();
      at += character === '\\' ? 2 : 1;
    } else if (character === '\\') {
      // A backslash at the end escapes nothing: git takes no such pattern.
      if (at + 1 === pattern.length) return undefined;
      tokens.push(pattern.charCodeAt(at + 1));
      at += 2;
    } else {
      tokens.push(character === '?' ? 'any' : pattern.charCodeAt(at));
      at += 1;
    }
  }
  endSegment();
  return segments;
}

/** Whether the parts of a path, from one on, are what a pattern says. */
export function matches(segments: readonly Segment[], path: readonly string[], from: number): boolean {
  let part = from;
  let segment = 0;
  // After a `**`, only the last one need be taken back: what matched before it matched as early as it could.
  let starAt = -1;
  let starPart = 0;
  while (part < path.length) {
    const wanted = segments[segment];
    if (wanted === '**') {
      // At the end it stands for what is inside, not for the folder itself.
      if (segment === segments.length - 1) return true;
      starAt = segment;
      starPart = part;
      segment += 1;
    } else if (wanted !== undefined && matchesPart(wanted, path[part] ?? '')) {
      part += 1;
      segment += 1;
    } else if (starAt !== -1) {
      starPart += 1;
      part = starPart;
      segment = starAt + 1;
    } else {
      return false;
    }
  }
  return segment === segments.length;
}

function matchesPart(segment: Exclude<Segment, '**'>, name: string): boolean {
  if ('equals' in segment) return segment.equals === name;
  if ('endsWith' in segment) return name.endsWith(segment.endsWith);
  const { tokens, minimum } = segment;
  if (name.length < minimum) return false;
  let token = 0;
  let at = 0;
  let runAt = -1;
  let runEnd = 0;
  while (at < name.length) {
    const wanted = tokens[token];
    if (wanted === 'run') {
      runAt = token;
      runEnd = at;
      token += 1;
    } else if (wanted !== undefined && accepts(wanted, name.charCodeAt(at))) {
      at += 1;
      token += 1;
    } else if (runAt !== -1) {
      runEnd += 1;
      at = runEnd;
      token = runAt + 1;
    } else {
      return false;
    }
  }
  while (tokens[token] === 'run') token += 1;
  return token === tokens.length;
}

function accepts(token: Exclude<Token, 'run'>, byte: number): boolean {
  if (typeof token === 'number') return token === byte;
  return token === 'any' || token[byte] === 1;
}

/** Most patterns are a name or `*.extension`, which need no search. */
function segmentOf(tokens: readonly Token[]): Segment {
  const [first, ...rest] = tokens;
  const isLiteral = (token: Token): token is number => typeof token === 'number';
  if (tokens.every(isLiteral)) return { equals: String.fromCharCode(...tokens) };
  if (first === 'run' && rest.every(isLiteral)) return { endsWith: String.fromCharCode(...rest) };
  return { tokens, minimum: tokens.filter((token) => token !== 'run').length };
}

function isSlash(pattern: string, at: number): boolean {
  return pattern[at] === '/' || (pattern[at] === '\\' && pattern[at + 1] === '/');
}

const isIn = (...ranges: readonly (readonly [string, string])[]) => ranges;
const digits = ['0', '9'] as const;
const upper = ['A', 'Z'] as const;
const lower = ['a', 'z'] as const;
const punctuation = isIn(['!', '/'], [':', '@'], ['[', '`'], ['{', '~']);

/** The classes of POSIX, of ASCII only, whatever the locale. */
const namedClasses: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  alnum: [digits, upper, lower],
  alpha: [upper, lower],
  blank: isIn(['\t', '\t'], [' ', ' ']),
  cntrl: isIn(['\0', '\x1f'], ['\x7f', '\x7f']),
  digit: [digits],
  graph: isIn(['!', '~']),
  lower: [lower],
  print: isIn([' ', '~']),
  punct: punctuation,
  space: isIn(['\t', '\r'], [' ', ' ']),
  upper: [upper],
  xdigit: [digits, ...isIn(['A', 'F'], ['a', 'f'])],
};

/** Reads `[…]` as wildmatch.c does, step by step. */
function compileClass(
  pattern: string,
  start: number,
): { readonly members: Readonly<Uint8Array>; readonly end: number } | undefined {
  const members = new Uint8Array(256);
  const add = (first: number, last: number): void => {
    if (first <= last) members.fill(1, first, last + 1);
  };
  let at = start + 1;
  const negated = pattern[at] === '!' || pattern[at] === '^';
  if (negated) at += 1;
  /** What a range may begin with. */
  let before: number | undefined;
  // A `]` in the first place is a member.
  for (let first = true; first || pattern[at] !== ']'; first = false, at += 1) {
    if (at >= pattern.length) return undefined;
    const next = pattern[at + 1];
    if (pattern[at] === '-' && before !== undefined && next !== undefined && next !== ']') {
      at += next === '\\' ? 2 : 1;
      if (at >= pattern.length) return undefined;
      add(before, pattern.charCodeAt(at));
      before = undefined;
      continue;
    }
    if (pattern[at] === '[' && next === ':') {
      const end = pattern.indexOf(']', at + 2);
      if (end === -1) return undefined;
      if (end > at + 2 && pattern[end - 1] === ':') {
        const name = pattern.slice(at + 2, end - 1);
        if (!Object.hasOwn(namedClasses, name)) return undefined;
        for (const [low, high] of namedClasses[name] ?? []) add(low.charCodeAt(0), high.charCodeAt(0));
        before = undefined;
        at = end;
        continue;
      }
    } else if (pattern[at] === '\\') {
      at += 1;
      if (at >= pattern.length) return undefined;
    }
    before = pattern.charCodeAt(at);
    add(before, before);
  }
  if (negated) members.forEach((member, byte) => (members[byte] = 1 - member));
  return { members, end: at + 1 };
}
