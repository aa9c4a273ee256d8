// Text for terminals and pipes: colours where they are wanted, and foreign text made harmless. Names, messages and
// trees come from images and sources of strangers: an escape sequence in them must not reach a terminal.
import { styleText } from 'node:util';

export type Style = (format: Parameters<typeof styleText>[0], text: string) => string;

/** Colours for a stream: none where it is no terminal, or NO_COLOR, NODE_DISABLE_COLORS or TERM=dumb say so. */
export function styleFor(stream: NodeJS.WriteStream): Style {
  return (format, text) => styleText(format, text, { stream });
}

/** Control characters but newline and tab; DEL; C1 controls; and the marks that reverse the direction of text. */
// eslint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Makes foreign text harmless to a terminal: control characters become visible escapes. */
export function harmless(text: string): string {
  return text.replaceAll(unsafe, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** A value as JSON that is harmless to a terminal; JSON.stringify leaves DEL, C1 and the marks as they are. */
export function harmlessJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replaceAll(
    unsafe,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** As `harmless`, with newlines and tabs as escapes too. */
export function onOneLine(text: string): string {
  return harmless(text).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

/** Values between quotes, `-` for none. */
export function quotedList(values: readonly string[]): string {
  return values.map((value) => JSON.stringify(value)).join(' ') || '-';
}

/** The columns that a stream shows in a line; none where it is no terminal. */
export function columnsOf(stream: NodeJS.WriteStream): number | undefined {
  return stream.isTTY ? stream.columns : undefined;
}
