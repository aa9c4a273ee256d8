// Which driver serves what, as the store's index has it now, whoever changed that.
import { rename } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { InstalledDrivers } from '../../../src/drivers/installed/installed-drivers.ts';
import { ImageStore } from '../../../src/images/index.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { buildScriptDriver } from '../../support/driver-images.ts';
import { makeTemporaryFolder, removeFolder } from '../../support/temporary-folder.ts';

let folder: string;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
});
afterAll(() => removeFolder(folder));

it('that were read before the index was lost are not served from memory, and are again when it is back', async () => {
  const root = path.join(folder, 'root');
  await using store = await ImageStore.open(root);
  const drivers = new InstalledDrivers(root, store, silentLogger());
  await drivers.install(await buildScriptDriver(folder, { language: 'tongue', script: 'cat' }));
  expect(await drivers.find('tongue')).toMatchObject({ language: 'tongue' });
  const index = path.join(root, 'index.json');
  await rename(index, `${index}.away`);
  // Longer than what was read is taken for new.
  await sleep(260);
  for (const asked of [() => drivers.find('tongue'), () => drivers.list(), () => drivers.find('tongue')]) {
    await expect(asked()).rejects.toMatchObject({ kind: 'storageDirty', data: { path: index } });
  }
  await rename(`${index}.away`, index);
  expect(await drivers.find('tongue')).toMatchObject({ language: 'tongue' });
});
