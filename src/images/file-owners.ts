// Whom the files of an image belong to on this machine.

/**
 * `mapped`: as root, the container's id n is the host's id base + n, for ids below size. `single`: as an ordinary
 * user, who cannot give files away, all of them are that user's own.
 */
export type FileOwners =
  { readonly kind: 'mapped'; readonly base: number; readonly size: number } | { readonly kind: 'single' };

/** The host's id for a container's id; undefined if it lies outside the map. */
export function hostId(owners: FileOwners, id: number): number | undefined {
  if (owners.kind === 'single') return undefined;
  return id < owners.size ? owners.base + id : undefined;
}
