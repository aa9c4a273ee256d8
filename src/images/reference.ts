// References to images: the transports of containers-transports(5) and, for docker://, the grammar of distribution/reference
// with Docker's normalisation. Pure text: touches neither files nor network.
import { BabelhostError } from '../base/errors.ts';
import { digestForm, isDigest, type Digest } from './digest.ts';

/** An image in a registry. At least one of tag and digest is set; with both, the digest decides. */
export interface DockerReference {
  readonly transport: 'docker';
  /** Host, with `:port` where one was written. Docker Hub is `docker.io`. */
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** An image layout directory or an archive of one; without a name, the only image in it. */
export interface LayoutReference {
  readonly transport: 'oci' | 'oci-archive';
  readonly path: string;
  /** The `org.opencontainers.image.ref.name` annotation of the image in it. */
  readonly name?: string;
}

/** An archive that `docker save` makes; an image in it by `name:tag` or by its place, or else the only one. */
export interface DockerArchiveReference {
  readonly transport: 'docker-archive';
  readonly path: string;
  readonly name?: string;
  readonly index?: number;
}

/** An image that a Docker daemon holds, by name or by its id. */
export interface DockerDaemonReference {
  readonly transport: 'docker-daemon';
  readonly name: string;
}

export type Reference = DockerReference | LayoutReference | DockerArchiveReference | DockerDaemonReference;

const transports = ['docker', 'oci', 'oci-archive', 'docker-archive', 'docker-daemon'] as const;

/** distribution/reference: a repository's path, without its domain. */
const repositoryLimit = 255;

/** Above distribution's own limits (255 + host + 128 + 71) and PATH_MAX. */
const referenceLimit = 8192;

function refuse(reference: string, position: number, reason: string): never {
  throw new BabelhostError(
    'imageInvalid',
    `'${reference.slice(0, 300)}' is not an image reference: ${reason}, at position ${position + 1}. ` +
      `Write one as registry.example.org/name:tag, oci:DIR:TAG, oci-archive:FILE, docker-archive:FILE or docker-daemon:NAME.`,
    { reference: reference.slice(0, 1000), position, reason },
  );
}

/**
 * Reads a reference; one without a transport is `docker://`.
 * @throws BabelhostError `imageInvalid` with data `{reference, position, reason}`; position counts characters from 0.
 */
export function parseReference(text: string): Reference {
  if (text === '') refuse(text, 0, 'it is empty');
  if (text.length > referenceLimit) refuse(text, referenceLimit, `it has more than ${referenceLimit} characters`);
  const control = text.search(/\p{Cc}/u);
  if (control >= 0) refuse(text, control, 'there is a control character');
  const transport = transports.find((name) => text.startsWith(`${name}:`));
  const rest = transport === undefined ? 0 : transport.length + 1;
  switch (transport) {
    case 'oci':
    case 'oci-archive': {
      const [path, name] = splitPath(text, rest);
      if (name !== undefined) checkLayoutName(text, text.length - name.length, name);
      return { transport, path, ...(name === undefined ? {} : { name }) };
    }
    case 'docker-archive': {
      const [path, name] = splitPath(text, rest);
      if (name === undefined) return { transport, path };
      const place = /^@(\d{1,9})$/.exec(name)?.[1];
      if (place !== undefined) return { transport, path, index: Number(place) };
      return { transport, path, name: familiar(parseDocker(text, text.length - name.length)) };
    }
    case 'docker-daemon': {
      const name = text.slice(rest);
      if (name === '') refuse(text, rest, 'the name of an image is missing after docker-daemon:');
      if (isDigest(name)) return { transport, name };
      return { transport, name: familiar(parseDocker(text, rest)) };
    }
    case 'docker':
      if (!text.startsWith('//', rest)) {
        // A repository may be called docker: `docker:24` is Docker Hub's image of that name.
        return parseDocker(text, 0);
      }
      return parseDocker(text, rest + 2);
    case undefined: {
      const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text);
      if (scheme !== null) refuse(text, 0, `the transport '${scheme[1] ?? ''}' is not known`);
      return parseDocker(text, 0);
    }
  }
}

/** The text that parseReference reads back to the same reference; docker:// is written out. */
export function formatReference(reference: Reference): string {
  switch (reference.transport) {
    case 'docker':
      return `docker://${formatName(reference)}`;
    case 'oci':
    case 'oci-archive':
      return `${reference.transport}:${reference.path}${reference.name === undefined ? '' : `:${reference.name}`}`;
    case 'docker-archive': {
      const part = reference.index === undefined ? reference.name : `@${reference.index}`;
      return `docker-archive:${reference.path}${part === undefined ? '' : `:${part}`}`;
    }
    case 'docker-daemon':
      return `docker-daemon:${reference.name}`;
  }
}

/** `registry/repository[:tag][@digest]`, written out, as the store names images. */
export function formatName({ registry, repository, tag, digest }: DockerReference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/**
 * Reads an image's name as `--tag` takes it (`name`, `name:tag`, `registry/name:tag`), normalised.
 * @throws BabelhostError `imageInvalid` as parseReference does.
 */
export function parseName(text: string): DockerReference {
  if (text === '') refuse(text, 0, 'it is empty');
  return parseDocker(text, text.startsWith('docker://') ? 'docker://'.length : 0);
}

/** Docker Hub's names as Docker itself writes them, without `docker.io/` and `library/`. */
export function familiar(reference: DockerReference): string {
  const name = formatName(reference);
  return name.replace(/^docker\.io\/(?:library\/)?/, '');
}

/** Splits `PATH[:NAME]` at the first colon, as skopeo does: a path with a colon in it cannot be written. */
function splitPath(text: string, start: number): [path: string, name: string | undefined] {
  const colon = text.indexOf(':', start);
  const path = colon < 0 ? text.slice(start) : text.slice(start, colon);
  if (path === '') refuse(text, start, 'the path is missing');
  if (colon < 0) return [path, undefined];
  if (colon === text.length - 1) refuse(text, colon, 'there is nothing after the colon');
  return [path, text.slice(colon + 1)];
}

/** OCI image spec, annotations: the grammar of org.opencontainers.image.ref.name. */
function checkLayoutName(text: string, position: number, name: string): void {
  const match = /^(?:[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:\/(?!$))?)*/.exec(name);
  const end = match?.[0].length ?? 0;
  if (end !== name.length) refuse(text, position + end, `the image's name cannot go on with '${name.charAt(end)}'`);
}

const hostComponent = /^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])$/;

function parseDocker(text: string, start: number): DockerReference {
  const at = text.indexOf('@', start);
  const nameEnd = at < 0 ? text.length : at;
  let digest: Digest | undefined;
  if (at >= 0) {
    const written = text.slice(at + 1);
    if (!isDigest(written)) refuse(text, at + 1, digestForm(written));
    digest = written;
  }

  // A colon after the last slash begins the tag; one before it a port.
  const lastSlash = text.lastIndexOf('/', nameEnd - 1);
  const colon = text.indexOf(':', Math.max(start, lastSlash + 1));
  const tagStart = colon >= 0 && colon < nameEnd ? colon : undefined;
  let tag: string | undefined;
  if (tagStart !== undefined) {
    tag = text.slice(tagStart + 1, nameEnd);
    const valid = /^\w[\w.-]*/.exec(tag)?.[0].length ?? 0;
    if (tag === '') refuse(text, tagStart, 'the tag after the colon is missing');
    if (valid !== tag.length) {
      refuse(text, tagStart + 1 + valid, 'a tag has letters, digits, _ . - and does not begin with . or -');
    }
    if (tag.length > 128) refuse(text, tagStart + 129, 'a tag has at most 128 characters');
  }

  const name = text.slice(start, tagStart ?? nameEnd);
  if (name === '') refuse(text, start, 'the name is missing');
  if (/^[0-9a-f]{64}$/.test(name)) refuse(text, start, 'a name cannot be 64 hexadecimal digits: that is an id');
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  // Docker's rule: the first part is a host if it could not be a path component, or is localhost.
  const hasHost = slash >= 0 && (/[.:[\]]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  let registry = 'docker.io';
  let repository = name;
  let repositoryStart = start;
  if (hasHost) {
    checkHost(text, start, first);
    registry = first === 'index.docker.io' || first === 'registry-1.docker.io' ? 'docker.io' : first;
    repository = name.slice(slash + 1);
    repositoryStart = start + slash + 1;
  }
  checkRepository(text, repositoryStart, repository);
  if (registry === 'docker.io' && !repository.includes('/')) repository = `library/${repository}`;
  if (tag === undefined && digest === undefined) tag = 'latest';
  return {
    transport: 'docker',
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

function checkHost(text: string, start: number, host: string): void {
  const match = /^(\[[0-9a-fA-F:]+\]|[^:[\]]*)(?::(.*))?$/s.exec(host);
  if (match === null) refuse(text, start, `'${host}' is not a host`);
  const [, name = '', port] = match;
  if (name === '') refuse(text, start, 'the host is missing');
  if (!name.startsWith('[')) {
    let position = start;
    for (const component of name.split('.')) {
      if (!hostComponent.test(component)) {
        refuse(text, position, `'${component}' is not a part of a host's name: letters, digits, and - inside`);
      }
      position += component.length + 1;
    }
  }
  if (port !== undefined && (!/^\d{1,5}$/.test(port) || Number(port) > 65535)) {
    refuse(text, start + name.length + 1, `'${port}' is not a port`);
  }
}

function checkRepository(text: string, start: number, repository: string): void {
  if (repository.length > repositoryLimit) {
    refuse(text, start + repositoryLimit, `a repository has at most ${repositoryLimit} characters`);
  }
  let position = start;
  for (const component of repository.split('/')) {
    if (component === '') refuse(text, position, 'a part of the name between slashes is empty');
    const valid = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*/.exec(component)?.[0].length ?? 0;
    if (valid !== component.length) {
      const found = component.charAt(valid);
      const reason = /[A-Z]/.test(found)
        ? `'${found}' is upper case, and a repository's name is lower case`
        : `'${found}' cannot stand here: a name has lower-case letters and digits, with . _ __ or - between them`;
      refuse(text, position + valid, reason);
    }
    position += component.length + 1;
  }
}

/** The names in the store of an image that came from `reference`. */
export function namesOf(reference: Reference): string[] {
  switch (reference.transport) {
    case 'docker': {
      const { transport, registry, repository, tag } = reference;
      return tag === undefined ? [] : [formatName({ transport, registry, repository, tag })];
    }
    case 'oci':
    case 'oci-archive':
      return reference.name === undefined ? [] : [reference.name];
    case 'docker-archive':
      return reference.name === undefined ? [] : [formatName(parseName(reference.name))];
    case 'docker-daemon':
      return isDigest(reference.name) ? [] : [formatName(parseName(reference.name))];
  }
}
