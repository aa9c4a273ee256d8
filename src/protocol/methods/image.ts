// The methods about images as such, drivers or not.
import { z } from 'zod';
import { method, name, workDone } from '../method.ts';

export const image = z.object({
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
    params: z.strictObject({
      directory: name.describe('The folder with image.toml: an absolute path.'),
      name: name.optional().describe('The name to give the image, in place of the recipe’s own.'),
      output: name
        .optional()
        .describe('`oci:DIR[:TAG]` or `oci-archive:FILE`: where to write it, in place of the store.'),
      ...workDone,
    }),
    result: image,
    errors: ['imageInvalid', 'imageNotFound', 'storageFull', 'notFound'],
  }),
  'image/list': method({
    summary: 'The images in the store.',
    params: z.looseObject({}),
    result: z.object({ images: z.array(image) }),
    errors: [],
  }),
  'image/inspect': method({
    summary: 'One image: a name, a digest, or the start of a digest that is no other’s.',
    params: z.strictObject({ name }),
    result: image,
    errors: ['imageNotFound'],
  }),
};
