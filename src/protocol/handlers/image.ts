// The methods about images as such.
import { given } from '../../base/given.ts';
import { BabelhostError } from '../../base/errors.ts';
import {
  formatName,
  formatPlatform,
  formatReference,
  parseName,
  parseReference,
  type LayoutReference,
  type Reference,
  type StoredImage,
} from '../../images/index.ts';
import type { Image } from '../methods.ts';
import type { imageMethods } from '../methods/image.ts';
import { transferOptions, untilCancelled, type Handlers, type Sent } from './handler.ts';

export const imageHandlers: Handlers<keyof typeof imageMethods> = {
  'image/build': async ({ directory, name, output, ...from }, context, services) => {
    context.progress.begin(`Building ${directory}`);
    const options = {
      ...transferOptions(context, from),
      ...given({ name, output: output === undefined ? undefined : parseLayout(output) }),
    };
    return wireImage(await untilCancelled(context, services, () => services.store.build(directory, options)));
  },

  'image/pull': async ({ reference, ...from }, context, services) => {
    context.progress.begin(`Pulling ${reference}`);
    const image = await untilCancelled(context, services, () =>
      services.store.install(parseReference(reference), transferOptions(context, from)),
    );
    return wireImage(image);
  },

  'image/push': async ({ name, reference, credentials }, context, services) => {
    const { store } = services;
    const image = await store.inspect(name);
    const target = reference === undefined ? nameOf(image, name) : parseReference(reference);
    context.progress.begin(`Pushing ${name} to ${formatReference(target)}`);
    const options = transferOptions(context, { credentials });
    await untilCancelled(context, services, () => store.push(image.digest, target, options));
    return { digest: image.digest, reference: formatReference(target) };
  },

  'image/list': async (_params, _context, { store }) => ({ images: (await store.list()).map(wireImage) }),

  'image/inspect': async ({ name }, _context, { store }) => wireImage(await store.inspect(name)),

  'image/remove': async ({ name, force }, _context, { store, drivers, pools, metrics }) => {
    const { digest, names } = await store.inspect(name);
    const languages = await drivers.servedBy(digest);
    const [language] = languages;
    if (language !== undefined && force !== true) {
      throw new BabelhostError(
        'conflict',
        `The image is the installed driver for ${language}: remove it with 'babelhost driver remove ${language}', or give force (--force).`,
        { image: name, digest, language },
      );
    }
    await drivers.removeImages([digest]);
    for (const each of languages) {
      metrics?.removed(each, digest);
      pools.retire(each);
    }
    return { removed: digest, names };
  },

  'image/prune': async (_params, _context, { store }) => await store.prune(),
};

/** A place that an image can be built into. */
function parseLayout(text: string): LayoutReference {
  const reference = parseReference(text);
  if (reference.transport === 'oci' || reference.transport === 'oci-archive') return reference;
  throw new BabelhostError(
    'imageInvalid',
    `An image cannot be built into ${text}: write it to oci:DIR[:TAG] or oci-archive:FILE, or leave it in the store.`,
    { reference: text, transport: reference.transport },
  );
}

/** The registry reference of an image: the name it was asked for by, or the only one that it has. */
function nameOf({ digest, names }: StoredImage, asked: string): Reference {
  const full = names.flatMap((name) => {
    try {
      const reference = parseName(name);
      return formatName(reference) === name ? [reference] : [];
    } catch {
      // A name from an OCI layout may be none of a registry.
      return [];
    }
  });
  const [only, another] = full;
  if (only !== undefined && another === undefined) return only;
  const chosen = full.find((reference) => formatName(reference) === asked || isShortFor(asked, reference));
  if (chosen !== undefined) return chosen;
  throw new BabelhostError(
    'imageInvalid',
    only === undefined
      ? `The image has no name that says which registry it belongs to: give a reference, as in docker://registry/name:tag.`
      : `The image has ${full.length} names: ask for it by one of them, or give a reference.`,
    { digest, names, reason: 'name' },
  );
}

function isShortFor(asked: string, reference: Reference): boolean {
  try {
    return formatReference(parseName(asked)) === formatReference(reference);
  } catch {
    return false;
  }
}

function wireImage({ digest, names, annotations, size, platform, created, config, layers }: StoredImage): Sent<Image> {
  return {
    digest,
    names,
    annotations,
    sizeBytes: size,
    platform: formatPlatform(platform),
    created,
    user: config.user,
    workingDirectory: config.workingDirectory,
    entrypoint: config.entrypoint,
    command: config.command,
    environment: config.env,
    labels: config.labels,
    layers: layers.map((layer) => ({ digest: layer.digest, sizeBytes: layer.size, mediaType: layer.mediaType })),
  };
}
