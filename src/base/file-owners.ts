// Whom the files of an image belong to on this machine: the container room decides it, and the images room unpacks by it.

/**
 * `mapped`: container id n is host id base + n, for ids below size. `single`: all files belong to the user who unpacks, who
 * cannot give files away.
 */
export type FileOwners =
  { readonly kind: 'mapped'; readonly base: number; readonly size: number } | { readonly kind: 'single' };
