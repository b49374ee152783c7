/** Values that are made when they are first asked for, so that those who never ask start sooner. */

/** A function that makes a value once, and returns it each time. */
export function lazy<T extends NonNullable<unknown>>(make: () => T): () => T {
  let value: T | undefined;
  return () => value ??= make();
}
