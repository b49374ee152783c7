/**
 * Stands in for `@std/assert` where JSR cannot be reached: the functions that our tests use, with the same meaning.
 * What it cannot compare as the real package does, it refuses to compare.
 *
 * @module
 */

// deno-lint-ignore no-explicit-any -- what any class is assignable to
type Class<T> = abstract new (...args: any[]) => T;

/** A failed assertion. */
export class AssertionError extends Error {
  /** `AssertionError`. */
  override readonly name = "AssertionError";
}

/** Fails. */
export function fail(msg?: string): never {
  throw new AssertionError(`Failed assertion${suffix(msg)}`);
}

/** `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** `actual` is neither undefined nor null. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) {
    throw new AssertionError(`Expected actual: "${actual}" to not be null or undefined${suffix(msg)}`);
  }
}

/** `actual` and `expected` have equal contents. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected)) {
    throw new AssertionError(`Values are not equal${suffix(msg)}\n${difference(actual, expected)}`);
  }
}

/** `actual` and `expected` differ in contents. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) {
    throw new AssertionError(`Expected actual: ${show(actual)} not to be: ${show(expected)}${suffix(msg)}`);
  }
}

/** `actual` is `expected`, as `Object.is` has it. */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (!Object.is(actual, expected)) {
    throw new AssertionError(`Values are not strictly equal${suffix(msg)}\n${difference(actual, expected)}`);
  }
}

/** `actual` lies within `tolerance` of `expected`; the default is a ten-millionth of it. */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  const delta = Math.abs(expected - actual);
  if (!(delta <= allowed)) {
    throw new AssertionError(
      `Expected actual: "${actual}" to be close to "${expected}": delta "${delta}" is greater than "${allowed}"${
        suffix(msg)
      }`,
    );
  }
}

/** `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) {
    throw new AssertionError(`Expected actual: "${actual}" to contain: "${expected}"${suffix(msg)}`);
  }
}

/** `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) {
    throw new AssertionError(`Expected actual: "${actual}" to match: "${expected}"${suffix(msg)}`);
  }
}

/** `actual` is an instance of `expectedType`. */
export function assertInstanceOf<T>(actual: unknown, expectedType: Class<T>, msg = ""): asserts actual is T {
  if (!(actual instanceof expectedType)) {
    throw new AssertionError(
      `Expected object to be an instance of "${expectedType.name}" but was ${show(actual)}${suffix(msg)}`,
    );
  }
}

/** `fn` throws; returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** `fn` throws an `ErrorClass` whose message contains `msgIncludes`; returns it. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  classOrMsg?: Class<Error> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const text = typeof classOrMsg === "string" ? classOrMsg : msg;
  try {
    fn();
  } catch (error) {
    return checked(error, "thrown", classOrMsg, msgIncludes, text);
  }
  throw new AssertionError(`Expected function to throw${suffix(text)}`);
}

/** What `fn` returns rejects; resolves to the reason. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** What `fn` returns rejects with an `ErrorClass` whose message contains `msgIncludes`; resolves to it. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  classOrMsg?: Class<Error> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const text = typeof classOrMsg === "string" ? classOrMsg : msg;
  let promise: unknown;
  try {
    promise = fn();
  } catch { /* told below: it had to reject */ }
  if (!isThenable(promise)) throw new AssertionError(`Function throws when expected to reject${suffix(text)}`);
  try {
    await promise;
  } catch (error) {
    return checked(error, "rejected", classOrMsg, msgIncludes, text);
  }
  throw new AssertionError(`Expected function to reject${suffix(text)}`);
}

function checked(
  error: unknown,
  how: string,
  wanted: Class<Error> | string | undefined,
  includes: string | undefined,
  msg: string | undefined,
): unknown {
  if (wanted === undefined || typeof wanted === "string") return error;
  if (!(error instanceof Error)) throw new AssertionError(`A non-Error object was ${how}${suffix(msg)}`);
  const { message, constructor } = error;
  if (!(error instanceof wanted)) {
    throw new AssertionError(
      `Expected error to be instance of "${wanted.name}", but was "${constructor.name}"${suffix(msg)}\n${show(error)}`,
      { cause: error },
    );
  }
  if (includes && !message.includes(includes)) {
    throw new AssertionError(
      `Expected error message to include ${JSON.stringify(includes)}, but got ${JSON.stringify(message)}${suffix(msg)}`,
    );
  }
  return error;
}

function equal(a: unknown, b: unknown): boolean {
  if (a === b || Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (prototype(a) !== prototype(b)) return false;
  if (a instanceof Date) return Object.is(a.getTime(), (b as Date).getTime());
  if (a instanceof URL) return a.href === (b as URL).href;
  if (a instanceof Uint8Array) {
    return a.length === (b as Uint8Array).length && a.every((byte, i) => byte === (b as Uint8Array)[i]);
  }
  if (a instanceof Set) {
    return a.size === (b as Set<unknown>).size && every(a, (key) => (b as Set<unknown>).has(primitive(key)));
  }
  if (a instanceof Map) {
    const map = b as Map<unknown, unknown>;
    return a.size === map.size && every(a, ([key, value]) => map.has(primitive(key)) && equal(value, map.get(key)));
  }
  if (![Object.prototype, Array.prototype].includes(prototype(a))) {
    throw new TypeError(`The stand-in of @std/assert does not compare this: ${show(a)}`);
  }
  const [left, right] = [a, b] as Record<PropertyKey, unknown>[];
  return Reflect.ownKeys({ ...a, ...b }).every((key) =>
    Object.hasOwn(a, key) && Object.hasOwn(b, key) && equal(left![key], right![key])
  );
}

/** Objects without prototype count as plain ones. */
function prototype(value: object): object {
  return Object.getPrototypeOf(value) ?? Object.prototype;
}

function every<T>(values: Iterable<T>, test: (value: T) => boolean): boolean {
  for (const value of values) if (!test(value)) return false;
  return true;
}

function primitive(key: unknown): unknown {
  if (typeof key === "object" && key !== null) {
    throw new TypeError("The stand-in of @std/assert does not compare objects in sets or as keys of maps");
  }
  return key;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

function suffix(msg: string | undefined): string {
  return msg ? `: ${msg}` : ".";
}

function difference(actual: unknown, expected: unknown): string {
  return `  actual: ${show(actual)}\nexpected: ${show(expected)}`;
}

function show(value: unknown): string {
  return Deno.inspect(value, { depth: 10, strAbbreviateSize: Infinity, iterableLimit: 1000 });
}
