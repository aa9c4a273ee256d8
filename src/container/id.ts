// Container ids: ULIDs, as Babelfish's runtime had them. They sort by the time of their making.
import { isValid } from 'ulid';
import { uniqueId } from '../unique-id.ts';
import { explainSystemError } from './failures.ts';

declare const brand: unique symbol;
export type ContainerId = string & { readonly [brand]: 'ContainerId' };

/** @throws BabelhostError `containerFailed` where the kernel's random numbers cannot be opened */
export function newContainerId(): ContainerId {
  try {
    return uniqueId() as ContainerId;
  } catch (error) {
    throw explainSystemError('make an id for a container', error);
  }
}

/** Whether `text` has the form of a container's id: 26 characters of Crockford's base 32, in capitals. */
export function isContainerId(text: string): text is ContainerId {
  return isValid(text) && text === text.toUpperCase();
}
