// Which advisories a runtime has no fix of: by its version, and by what its Debian package says of it.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { advisoriesOf, findAdvisories } from '../../../src/container/diagnose/runtime-advisories.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const masking = ['CVE-2025-31133', 'CVE-2025-52565', 'CVE-2025-52881'];

describe('advisories', () => {
  it.each([
    ['runc', '1.1.5+ds1', ['CVE-2024-21626', 'CVE-2024-45310', ...masking, 'CVE-2026-41579']],
    ['runc', '1.1.12', ['CVE-2024-45310', ...masking, 'CVE-2026-41579']],
    ['runc', '1.2.0-rc.2', ['CVE-2024-45310', ...masking, 'CVE-2026-41579']],
    ['runc', '1.2.0~rc3+ds1', [...masking, 'CVE-2026-41579']],
    ['runc', '1.2.7', [...masking, 'CVE-2026-41579']],
    ['runc', '1.2.8', ['CVE-2026-41579']],
    ['runc', '1.3.2', [...masking, 'CVE-2026-41579']],
    ['runc', '1.3.3-0ubuntu1~22.04.3', ['CVE-2026-41579']],
    ['runc', '1.4.0-rc.2', [...masking, 'CVE-2026-41579']],
    ['runc', '1.4.0-rc.3', ['CVE-2026-41579']],
    ['runc', '1.3.6', []],
    ['runc', '1.4.3', []],
    ['runc', '1.5.0-rc.2', ['CVE-2026-41579']],
    ['runc', '1.5.0', []],
    ['runc', '2.0.0', []],
    ['crun', '1.8.1', ['CVE-2025-24965', 'CVE-2026-47766', 'CVE-2026-88264', 'CVE-2026-88265']],
    ['crun', '1.20', ['CVE-2026-30892', 'CVE-2026-47766', 'CVE-2026-88264', 'CVE-2026-88265']],
    ['crun', '1.29.1', ['CVE-2026-88264', 'CVE-2026-88265']],
    ['crun', '1.30.1', []],
    ['youki', '0.1.0', []],
  ])('of %s %s', (name, version, expected) => {
    expect(advisoriesOf(name, version)).toEqual(expected);
  });

  it('that the changelog of a Debian package names are fixed in it', async () => {
    const documents = await temporaryFolder();
    await mkdir(path.join(documents, 'runc'));
    const file = path.join(documents, 'runc/changelog.Debian.gz');
    const find = (program: string) => findAdvisories(program, '1.2.8', documents);
    // A minimal installation has no changelogs.
    expect(await find('/usr/sbin/runc')).toEqual(['CVE-2026-41579']);
    await writeFile(file, 'not compressed: CVE-2026-41579');
    expect(await find('/usr/sbin/runc')).toEqual(['CVE-2026-41579']);
    await writeFile(file, gzipSync('  * Backport the fix of CVE-2026-41579\n'));
    expect(await find('/usr/sbin/runc')).toEqual([]);
    // Which is not what the changelog is about.
    expect(await find('/usr/local/sbin/runc')).toEqual(['CVE-2026-41579']);
  });
});
