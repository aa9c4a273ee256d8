// The header block of a frame (LSP 3.17, "Header Part").

/** No header block needs more than this: two fields are defined, both short. */
export const headerLimit = 8 * 1024;

export const headerEnd = Buffer.from('\r\n\r\n', 'latin1');

/** A header as nearly all are, from its first byte to the content, in at most so many bytes. */
export const plainHeader = /^Content-Length: (\d{1,15})\r\n\r\n/;
export const plainHeaderBytes = 40;

/** The Content-Length of a header block; undefined where it is missing, repeated with another value, or no number. */
export function contentLength(header: string): number | undefined {
  let length: number | undefined;
  for (const line of header.split('\r\n')) {
    const field = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (field === null) return undefined;
    if (field[1]?.toLowerCase() !== 'content-length') continue;
    const value = field[2] ?? '';
    if (!/^\d{1,15}$/.test(value)) return undefined;
    if (length !== undefined && length !== Number(value)) return undefined;
    length = Number(value);
  }
  return length;
}
