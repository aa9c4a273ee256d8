// Values that are made when they are first asked for: a schema takes about 0.1 ms to make, a host has a hundred, and most
// hosts use few of them. Imports nothing.

/** @returns a function that returns what `make` made when it was first called */
export function lazy<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => (made ??= { value: make() }).value;
}
