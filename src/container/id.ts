// Container ids: ULIDs, as in Babelfish's runtime. They sort by time.
import { isValid, ulid } from 'ulid';

declare const brand: unique symbol;
export type ContainerId = string & { readonly [brand]: 'ContainerId' };

export function newContainerId(): ContainerId {
  return ulid() as ContainerId;
}

/** Whether `text` has the form of a container's id: 26 characters of Crockford's base 32, in capitals. */
export function isContainerId(text: string): text is ContainerId {
  return isValid(text) && text === text.toUpperCase();
}
