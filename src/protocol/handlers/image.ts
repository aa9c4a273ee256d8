// The methods about images as such.
import { BabelhostError } from '../../base/errors.ts';
import {
  formatName,
  formatPlatform,
  formatReference,
  parseName,
  parsePlatform,
  parseReference,
  type LayoutReference,
  type Reference,
  type StoredImage,
} from '../../images/index.ts';
import type { Image } from '../methods.ts';
import { transferProgress, untilCancelled, type Handlers } from './handler.ts';

type ImageMethod = `image/${'build' | 'pull' | 'push' | 'list' | 'inspect' | 'remove' | 'prune'}`;

export const imageHandlers: Handlers<ImageMethod> = {
  'image/build': async ({ directory, name, output, platform, credentials }, context, services) => {
    const { signal, progress } = context;
    progress.begin(`Building ${directory}`);
    const image = await untilCancelled(context, services, () =>
      services.store.build(directory, {
        signal,
        onProgress: transferProgress(progress),
        ...(name !== undefined && { name }),
        ...(output !== undefined && { output: parseLayout(output) }),
        ...(platform !== undefined && { platform: parsePlatform(platform) }),
        ...(credentials !== undefined && { credentials }),
      }),
    );
    return wireImage(image);
  },

  'image/pull': async ({ reference, platform, credentials }, context, services) => {
    const { signal, progress } = context;
    progress.begin(`Pulling ${reference}`);
    const image = await untilCancelled(context, services, () =>
      services.store.install(parseReference(reference), {
        signal,
        onProgress: transferProgress(progress),
        ...(platform !== undefined && { platform: parsePlatform(platform) }),
        ...(credentials !== undefined && { credentials }),
      }),
    );
    return wireImage(image);
  },

  'image/push': async ({ name, reference, credentials }, context, services) => {
    const { signal, progress } = context;
    const { store } = services;
    const image = await store.inspect(name);
    const target = reference === undefined ? nameOf(image, name) : parseReference(reference);
    progress.begin(`Pushing ${name} to ${formatReference(target)}`);
    await untilCancelled(context, services, () =>
      store.push(image.digest, target, {
        signal,
        onProgress: transferProgress(progress),
        ...(credentials !== undefined && { credentials }),
      }),
    );
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
    return { removed: digest, names: [...names] };
  },

  'image/prune': async (_params, _context, { store }) => {
    const { removed, freedBytes } = await store.prune();
    return { removed: [...removed], freedBytes };
  },
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

/** Where an image's own name says that it belongs: the name it was asked for by, or the only one that it has. */
function nameOf({ digest, names }: StoredImage, asked: string): Reference {
  const full = names.flatMap((name) => {
    try {
      const reference = parseName(name);
      return formatName(reference) === name ? [reference] : [];
    } catch {
      // A name that an OCI layout gave it, which is none in a registry.
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

function wireImage(image: StoredImage): Image {
  const { config } = image;
  return {
    digest: image.digest,
    names: [...image.names],
    annotations: { ...image.annotations },
    sizeBytes: image.size,
    platform: formatPlatform(image.platform),
    ...(image.created !== undefined && { created: image.created }),
    user: config.user,
    workingDirectory: config.workingDirectory,
    entrypoint: [...config.entrypoint],
    command: [...config.command],
    environment: [...config.env],
    labels: { ...config.labels },
    layers: image.layers.map(({ digest, size, mediaType }) => ({ digest, sizeBytes: size, mediaType })),
  };
}
