// Security advisories of the OCI runtimes that neither a runtime's version nor its Debian package shows to be fixed, for
// `doctor`. docs/security.md tells what each means for babelhost, and which test shows it.
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { readRegularFile } from '../../base/regular-file.ts';

interface Advisory {
  readonly id: string;
  /** The first release that has it, where not all older ones do. */
  readonly since?: string;
  /** The first release of each line (major and minor number) that has the fix, oldest first; all later lines have it. */
  readonly fixed: readonly [string, ...string[]];
}

const masking = ['1.2.8', '1.3.3', '1.4.0-rc.3'] as const;

const advisories: Readonly<Record<string, readonly Advisory[]>> = {
  // https://github.com/opencontainers/runc/blob/main/CHANGELOG.md
  runc: [
    { id: 'CVE-2024-21626', fixed: ['1.1.12'] },
    { id: 'CVE-2024-45310', fixed: ['1.1.14', '1.2.0-rc.3'] },
    { id: 'CVE-2025-31133', fixed: masking },
    { id: 'CVE-2025-52565', fixed: masking },
    { id: 'CVE-2025-52881', fixed: masking },
    { id: 'CVE-2026-41579', fixed: ['1.3.6', '1.4.3', '1.5.0-rc.3'] },
  ],
  // https://github.com/containers/crun/security/advisories. crun does not have those of runc (its issue 1906).
  crun: [
    { id: 'CVE-2025-24965', fixed: ['1.20'] },
    { id: 'CVE-2026-30892', since: '1.19', fixed: ['1.27'] },
    { id: 'CVE-2026-47766', fixed: ['1.28'] },
    { id: 'CVE-2026-88264', fixed: ['1.30'] },
    { id: 'CVE-2026-88265', fixed: ['1.30'] },
  ],
};

/** Where Debian's packages put programs; a program elsewhere is not the package's. */
const packagedFolders = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Compressed, and not: runc's has 6 and 14 KB. */
const changelogBytes = 1024 * 1024;
const changelogTextBytes = 16 * 1024 * 1024;

/** The numbers of a version, and that of a release candidate, which comes before the release. */
function numbersOf(version: string): readonly number[] {
  // Debian's and Ubuntu's suffixes (+ds1, -0ubuntu1) are no release candidates.
  const [, major, minor, patch = '0', candidate] = /^(\d+)\.(\d+)(?:\.(\d+))?(?:[-~]rc\.?(\d+))?/.exec(version) ?? [];
  return [Number(major), Number(minor), Number(patch), candidate === undefined ? Infinity : Number(candidate)];
}

function isAtLeast(version: string, other: string): boolean {
  const others = numbersOf(other);
  for (const [index, number] of numbersOf(version).entries()) {
    const compared = number - (others[index] ?? 0);
    // Infinity less itself is no number.
    if (compared > 0 || compared < 0) return compared > 0;
  }
  return true;
}

function isOfLine(version: string, other: string): boolean {
  const [major, minor] = numbersOf(version);
  const [otherMajor, otherMinor] = numbersOf(other);
  return major === otherMajor && minor === otherMinor;
}

/** The advisories that a release of a runtime has no fix of, by its version alone. @param name 'runc', 'crun', or another */
export function advisoriesOf(name: string, version: string): string[] {
  return (advisories[name] ?? [])
    .filter(({ since, fixed }) => {
      if (since !== undefined && !isAtLeast(version, since)) return false;
      const last = fixed.at(-1);
      return !fixed.some((each) => isAtLeast(version, each) && (each === last || isOfLine(version, each)));
    })
    .map(({ id }) => id);
}

/**
 * The advisories that an installed runtime has no fix of. Debian puts fixes into old versions, and names them in the
 * changelog of the package; a minimal installation has none.
 * @param program its path
 * @param documents where packages have their documents
 */
export async function findAdvisories(
  program: string,
  version: string,
  documents = '/usr/share/doc',
): Promise<string[]> {
  const name = path.basename(program);
  const found = advisoriesOf(name, version);
  if (found.length === 0 || !packagedFolders.includes(path.dirname(program))) return found;
  const changelog = await readChangelog(path.join(documents, name, 'changelog.Debian.gz'));
  return found.filter((id) => !changelog.includes(id));
}

async function readChangelog(file: string): Promise<string> {
  try {
    const packed = await readRegularFile(file, changelogBytes);
    return (await promisify(gunzip)(packed, { maxOutputLength: changelogTextBytes })).toString('latin1');
  } catch {
    // None, or not one: the version has to do.
    return '';
  }
}
