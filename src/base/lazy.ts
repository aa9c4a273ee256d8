// Values that are made at their first use: a schema takes 0.1 ms to make, and most hosts use few of a hundred. Imports nothing.

/** @returns a function that returns what `make` made when it was first called */
export function lazy<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => (made ??= { value: make() }).value;
}
