// The methods about images as such, drivers or not.
import { z } from 'zod';
import { method, name, workDone } from './method.ts';

export const platform = () =>
  z
    .string()
    .max(128)
    .regex(/^[a-z0-9]+\/[a-z0-9_]+(\/[a-z0-9.]+)?$/, 'must be os/architecture, as in linux/amd64')
    .describe('`os/architecture[/variant]`, as in `linux/arm64/v8`; this machine’s where it is not given.');

export const credentials = () =>
  z
    .union(
      [
        z.strictObject({ username: z.string().min(1).max(1024), password: z.string().max(65_536) }),
        z.strictObject({ identityToken: z.string().min(1).max(65_536) }),
      ],
      // zod's own error for a union names members that it does not know, which may be secrets.
      { error: 'must be {username, password} or {identityToken}' },
    )
    .describe(
      'For the registry, in place of what this machine has for it: a name with a password, or the token of an OAuth 2 service. Never logged or stored.',
    );

const image = () =>
  z.object({
    digest: z.string().describe('The digest of the image manifest.'),
    names: z.array(z.string()),
    annotations: z.record(z.string(), z.string()),
    sizeBytes: z.int().describe('The size of the image’s blobs.'),
    platform: z.string(),
    created: z.string().optional(),
    user: z.string(),
    workingDirectory: z.string(),
    entrypoint: z.array(z.string()),
    command: z.array(z.string()),
    environment: z.array(z.string()),
    labels: z.record(z.string(), z.string()),
    layers: z.array(z.object({ digest: z.string(), sizeBytes: z.int(), mediaType: z.string() })),
  });

export const imageMethods = {
  'image/build': method({
    summary: 'Makes an OCI image from a recipe folder (image.toml), without Docker and without network.',
    params: () =>
      z.strictObject({
        directory: name().describe('The folder with image.toml: an absolute path.'),
        name: name().optional().describe('The name to give the image, in place of the recipe’s own.'),
        output: name()
          .optional()
          .describe('`oci:DIR[:TAG]` or `oci-archive:FILE`: where to write it, in place of the store.'),
        platform: platform().optional(),
        credentials: credentials().optional().describe('For the registry of the recipe’s base, as in `image/pull`.'),
        ...workDone(),
      }),
    result: image,
    errors: ['imageInvalid', 'imageNotFound', 'imageUnauthorized', 'digestMismatch', 'storageFull', 'notFound'],
  }),
  'image/pull': method({
    summary: 'Brings an image into the store: fetched, verified, unpacked, and visible all at once or not at all.',
    description:
      'What the store has already is not fetched again. Cancelling (`$/cancelRequest`) ends fetches at once.',
    params: () =>
      z.strictObject({
        reference: name().describe(
          'As in `docker://registry/name:tag`, `oci:DIR:TAG`, `oci-archive:FILE`, `docker-archive:FILE`, `docker-daemon:NAME`.',
        ),
        platform: platform().optional(),
        credentials: credentials().optional(),
        ...workDone(),
      }),
    result: image,
    errors: ['imageNotFound', 'imageUnauthorized', 'imageInvalid', 'digestMismatch', 'storageFull', 'timeout'],
  }),
  'image/push': method({
    summary: 'Writes an image of the store to a registry, or to a layout or an archive of one.',
    description:
      'What the registry has already is not sent again. Cancelling (`$/cancelRequest`) ends uploads at once.',
    params: () =>
      z.strictObject({
        name: name().describe('The image: a name, a digest, or the start of a digest that is no other’s.'),
        reference: name()
          .optional()
          .describe(
            'Where to, as in `docker://registry/name:tag`, `oci:DIR:TAG`, `oci-archive:FILE`; by its name else.',
          ),
        credentials: credentials().optional(),
        ...workDone(),
      }),
    result: () =>
      z.object({
        digest: z.string().describe('The digest of the image manifest.'),
        reference: z.string().describe('Where it is now.'),
      }),
    errors: ['imageNotFound', 'imageUnauthorized', 'imageInvalid', 'timeout'],
  }),
  'image/remove': method({
    summary: 'Removes an image, under all its names. What runs on it goes on; its files go when nothing does.',
    params: () =>
      z.strictObject({
        name: name().describe('A name, a digest, or the start of a digest that is no other’s.'),
        force: z.boolean().optional().describe('Also where it is an installed driver: its language then has none.'),
      }),
    result: () =>
      z.object({ removed: z.string().describe('The digest of the image removed.'), names: z.array(z.string()) }),
    errors: ['imageNotFound', 'conflict'],
  }),
  'image/prune': method({
    summary: 'Removes what nothing refers to: images that have no name and are no driver, and blobs of no image.',
    params: () => z.looseObject({}),
    result: () =>
      z.object({
        removed: z.array(z.string()).describe('Digests of images and other blobs.'),
        freedBytes: z.int().describe('The size of the blobs; what was unpacked of them is not counted.'),
      }),
    errors: ['storageDirty', 'timeout'],
  }),
  'image/list': method({
    summary: 'The images in the store.',
    params: () => z.looseObject({}),
    result: () => z.object({ images: z.array(image()) }),
    errors: [],
  }),
  'image/inspect': method({
    summary: 'One image: a name, a digest, or the start of a digest that is no other’s.',
    params: () => z.strictObject({ name: name() }),
    result: image,
    errors: ['imageNotFound'],
  }),
};
