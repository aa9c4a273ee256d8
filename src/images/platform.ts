// Platforms by their OCI names (GOOS and GOARCH), and how well one serves another.
import { arch, platform } from 'node:os';
import { BabelhostError } from '../base/errors.ts';

/** An operating system, an architecture and, where there are several of it (arm), a variant. OCI image index spec. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

/** Node's names of architectures where they differ from Go's, which OCI uses. */
const architectures: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  loong64: 'loong64',
  mipsel: 'mipsle',
  ppc64: 'ppc64le',
};

/** The variant that an architecture has when none is written. */
const defaultVariants: Readonly<Record<string, string>> = { arm64: 'v8', arm: 'v7' };

/** The platform of the machine this runs on. */
export function machinePlatform(): Platform {
  const node = arch();
  return { os: platform(), architecture: architectures[node] ?? node };
}

/**
 * Reads `os/architecture` or `os/architecture/variant`, as `--platform` takes it.
 * @throws BabelhostError `imageInvalid` for anything else.
 */
export function parsePlatform(text: string): Platform {
  const match = /^([a-z0-9_.-]+)\/([a-z0-9_.-]+)(?:\/([a-z0-9_.-]+))?$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new BabelhostError(
      'imageInvalid',
      `'${text.slice(0, 100)}' is not a platform: write it as linux/amd64 or linux/arm/v7.`,
      { platform: text.slice(0, 200), reason: 'platform' },
    );
  }
  return { os: match[1], architecture: match[2], ...(match[3] === undefined ? {} : { variant: match[3] }) };
}

/** A platform as `os/architecture[/variant]`. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/**
 * How well `offered` serves `wanted`: 0 not at all, more is better. A machine whose variant is not known (arm without
 * one) takes the architecture's usual variant first, then whatever there is.
 */
export function platformMatch(wanted: Platform, offered: Platform): number {
  if (wanted.os !== offered.os || wanted.architecture !== offered.architecture) return 0;
  const usual = defaultVariants[wanted.architecture];
  const want = wanted.variant ?? usual;
  const offer = offered.variant ?? usual;
  if (want === offer) return 3;
  return wanted.variant === undefined ? 1 : 0;
}
