// The methods that install, list, inspect and remove drivers.
import { z } from 'zod';
import { method, name, workDone } from '../method.ts';
import { manifest } from './host.ts';

export const platform = z
  .string()
  .max(128)
  .regex(/^[a-z0-9]+\/[a-z0-9_]+(\/[a-z0-9.]+)?$/, 'must be os/architecture, as in linux/amd64')
  .describe('`os/architecture[/variant]`, as in `linux/arm64/v8`; this machine’s where it is not given.');

export const driver = z.object({
  language: z.string(),
  reference: z.string().describe('Where the image came from.'),
  digest: z.string().describe('The digest of the image manifest.'),
  sizeBytes: z.int().describe('The size of the image’s blobs.'),
  installedAt: z.string().optional(),
  manifest,
});

const language = name.describe('A language or an alias of one.');

export const driverMethods = {
  'driver/install': method({
    summary: 'Installs a driver image: fetched, verified, unpacked, and visible all at once or not at all.',
    params: z.strictObject({
      reference: name.describe('As in `docker://registry/name:tag`, `oci:DIR:TAG`, `oci-archive:FILE`.'),
      language: name.optional().describe('Refuse the image unless its manifest names this language.'),
      update: z.boolean().optional().describe('Replace the driver that is installed for the language.'),
      platform: platform.optional(),
      ...workDone,
    }),
    result: z.object({
      driver,
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
    ],
  }),
  'driver/list': method({
    summary: 'The installed drivers.',
    params: z.looseObject({}),
    result: z.object({ drivers: z.array(driver) }),
    errors: ['storageDirty'],
  }),
  'driver/inspect': method({
    summary: 'One installed driver.',
    params: z.strictObject({ language }),
    result: driver,
    errors: ['driverNotInstalled', 'storageDirty'],
  }),
  'driver/remove': method({
    summary: 'Removes a driver. Requests in flight finish; where a language is dirty, all its images go.',
    params: z.strictObject({ language }),
    result: z.object({ removed: z.array(z.string()).describe('Digests of the images removed.') }),
    errors: ['driverNotInstalled'],
  }),
};
