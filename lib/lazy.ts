/** Values that are made when they are first asked for, so that those who never ask start sooner. */

/** A function that makes a value once, and returns it each time. */
export function lazy<T extends NonNullable<unknown>>(make: () => T): () => T {
  let value: T | undefined;
  return () => value ??= make();
}

/** From text to UTF-8. */
export const encoder: () => TextEncoder = lazy(() => new TextEncoder());

/** From UTF-8 to text, whole texts at a time. */
export const decoder: () => TextDecoder = lazy(() => new TextDecoder());
