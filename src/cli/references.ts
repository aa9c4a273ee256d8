// References to images as a person types them: paths are relative to where the person is, which need not be where the
// host is.
import path from 'node:path';

const withPath = ['oci:', 'oci-archive:', 'docker-archive:'];

/** The reference with its path made absolute, where its transport has one. */
export function absoluteReference(reference: string): string {
  const transport = withPath.find((prefix) => reference.startsWith(prefix));
  if (transport === undefined) return reference;
  const rest = reference.slice(transport.length);
  // An empty path is for the host to refuse, which says what it should be.
  return rest === '' ? reference : transport + path.resolve(rest);
}
