/**
 * Stands in for `@std/testing/types` where JSR cannot be reached: the types that our tests use, with the same meaning.
 *
 * @module
 */

/** Fails to compile unless its argument is `true`. */
export type AssertTrue<_T extends true> = never;

/** Fails to compile unless its argument is `false`. */
export type AssertFalse<_T extends false> = never;

/** Whether `T` and `U` are the same type: not just assignable to each other. */
export type IsExact<T, U> = IsIdentical<Flat<T>, Flat<U>>;

// TypeScript takes one generic function for the other only if it holds T and U for identical.
type IsIdentical<T, U> = (<X>() => X extends T ? 1 : 2) extends (<X>() => X extends U ? 1 : 2) ? true : false;

/** An intersection as one object type. */
type Flat<T> = T extends Record<PropertyKey, unknown> ? { [K in keyof T]: Flat<T[K]> } : T;
