// The methods that install, list, inspect and remove drivers.
import { z } from 'zod';
import { method, name, workDone } from './method.ts';
import { keptManifest, statuses } from '../../drivers/installed/manifest.ts';
import { runLimitsSchema } from '../../drivers/installed/run-limits.ts';
import { credentials, platform } from './image.ts';

const driver = () =>
  z.object({
    language: z.string(),
    reference: z.string().describe('Where the image came from.'),
    digest: z.string().describe('The digest of the image manifest.'),
    sizeBytes: z.int().describe('The size of the image’s blobs.'),
    installedAt: z.string().optional(),
    limits: runLimitsSchema().optional().describe('The limits of its containers that were given at its installation.'),
    manifest: keptManifest(),
  });

const language = () => name().describe('A language or an alias of one.');

export const driverMethods = {
  'driver/install': method({
    summary: 'Installs a driver image: fetched, verified, unpacked, and visible all at once or not at all.',
    description:
      'Give `reference` or `recipe`. Cancelling (`$/cancelRequest`) ends fetches at once and leaves the store as it was.',
    params: () =>
      z
        .strictObject({
          reference: name()
            .optional()
            .describe(
              'As in `docker://registry/name:tag`, `oci:DIR:TAG`, `oci-archive:FILE`, `docker-archive:FILE`, `docker-daemon:NAME`.',
            ),
          recipe: name()
            .optional()
            .describe('A folder with image.toml, an absolute path: the image is built first, as `image/build` does.'),
          language: name().optional().describe('Refuse the image unless its manifest names this language.'),
          update: z.boolean().optional().describe('Replace the driver that is installed for the language.'),
          limits: runLimitsSchema()
            .optional()
            .describe('Limits of its containers, before those of the host and of the manifest; an update keeps them.'),
          platform: platform().optional(),
          credentials: credentials().optional(),
          ...workDone(),
        })
        .refine((params) => (params.reference === undefined) !== (params.recipe === undefined), {
          error: 'give either reference or recipe',
        })
        .refine((params) => params.recipe === undefined || params.credentials === undefined, {
          error: 'credentials go with a reference',
          path: ['credentials'],
        }),
    result: () =>
      z.object({
        driver: driver(),
        replaced: z.string().optional().describe('The digest of the image that this one took the place of.'),
        unchanged: z.boolean().describe('True where this very image was installed already and `update` was given.'),
      }),
    errors: [
      'driverAlreadyInstalled',
      'driverMalformed',
      'imageNotFound',
      'imageUnauthorized',
      'imageInvalid',
      'digestMismatch',
      'storageDirty',
      'storageFull',
      'timeout',
      'notFound',
    ],
  }),
  'driver/catalogue': method({
    summary: 'The drivers of a catalogue file, to install: which images, for which languages, in which status.',
    description:
      'Without `file`, it is what `BABELHOST_CATALOGUE` names for the host, else `catalogue.toml` in its root, else ' +
      'the project’s own. An empty selection is an error.',
    params: () =>
      z.strictObject({
        file: name().optional().describe('An absolute path of a TOML file.'),
        select: z
          .enum(['all', 'recommended'])
          .default('all')
          .describe('`recommended`: those whose status is at least beta; `all` where it is not given.'),
      }),
    result: () =>
      z.object({
        file: z.string(),
        drivers: z.array(
          z.object({
            language: z.string(),
            status: z.enum(statuses),
            recommended: z.boolean(),
            reference: z.string().optional().describe('For `driver/install`: this, or `recipe`.'),
            recipe: z.string().optional(),
            platform: z.string().optional(),
          }),
        ),
      }),
    errors: ['notFound', 'imageInvalid'],
  }),
  'driver/list': method({
    summary: 'The installed drivers.',
    params: () => z.looseObject({}),
    result: () => z.object({ drivers: z.array(driver()) }),
    errors: ['storageDirty'],
  }),
  'driver/inspect': method({
    summary: 'One installed driver.',
    params: () => z.strictObject({ language: language() }),
    result: driver,
    errors: ['driverNotInstalled', 'storageDirty'],
  }),
  'driver/remove': method({
    summary: 'Removes a driver. Requests in flight finish; where a language is dirty, all its images go.',
    params: () => z.strictObject({ language: language() }),
    result: () => z.object({ removed: z.array(z.string()).describe('Digests of the images removed.') }),
    errors: ['driverNotInstalled'],
  }),
};
