// What an image is called in the store.
import { isDigest } from './digest.ts';
import { formatName, parseName, type DockerReference, type Reference } from './reference.ts';

/** What an image is called that came from `reference`. */
export function namesOf(reference: Reference): string[] {
  switch (reference.transport) {
    case 'docker':
      return reference.tag === undefined ? [] : [formatName(withoutDigest(reference))];
    case 'oci':
    case 'oci-archive':
      return reference.name === undefined ? [] : [reference.name];
    case 'docker-archive':
      return reference.name === undefined ? [] : [formatName(parseName(reference.name))];
    case 'docker-daemon':
      return isDigest(reference.name) ? [] : [formatName(parseName(reference.name))];
  }
}

function withoutDigest({ transport, registry, repository, tag }: DockerReference): DockerReference {
  return { transport, registry, repository, ...(tag === undefined ? {} : { tag }) };
}
