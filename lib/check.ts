/** Checks of numbers before they reach the kernel. (Deno's own are dropped once a call is compiled.) */

/** An integer between `min` and `max`. */
export function checkInteger(value: unknown, name: string, min: number, max: number): number {
  if (typeof value !== "number") throw new TypeError(`${name} must be a number, not ${kindOf(value)}`);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} must be an integer from ${min} to ${max}, not ${value}`);
  }
  return value;
}

/** An unsigned number of 32 bits. */
export function checkU32(value: unknown, name: string): number {
  return typeof value === "number" && value >>> 0 === value ? value : checkInteger(value, name, 0, 0xffffffff);
}

/** A file descriptor. */
export function checkFd(value: unknown, name: string): number {
  return typeof value === "number" && value >>> 0 === value && value <= 0x7fffffff
    ? value
    : checkInteger(value, name, 0, 0x7fffffff);
}

/** An unsigned number of 64 bits. */
export function checkU64(value: unknown, name: string): bigint {
  if (typeof value !== "bigint") throw new TypeError(`${name} must be a bigint, not ${kindOf(value)}`);
  if (value < 0n || value > 0xffffffffffffffffn) {
    throw new RangeError(`${name} must be from 0n to 2n ** 64n - 1n, not ${value}n`);
  }
  return value;
}

/** Bytes, in any view: not copied. */
export function bytesOf(value: unknown, name: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  throw new TypeError(`${name} must be a Uint8Array or another view of bytes, not ${kindOf(value)}`);
}

/** Bytes, in any view, of which the kernel takes `length`. */
export function checkBytes(value: unknown, name: string, length: number): Uint8Array {
  const bytes = bytesOf(value, name);
  if (bytes.length !== length) throw new RangeError(`${name} must have ${length} bytes, not ${bytes.length}`);
  return bytes;
}

/** A string that can be passed to the kernel: not empty, without NUL. */
export function checkString(value: unknown, name: string): string {
  if (typeof value !== "string") throw new TypeError(`${name} must be a string, not ${kindOf(value)}`);
  if (value === "" || value.includes("\0")) {
    throw new TypeError(`${name} must be a non-empty string without NUL characters`);
  }
  return value;
}

/** A boolean; false if absent. */
export function checkFlag(value: unknown, name: string): boolean {
  if (value === undefined || typeof value === "boolean") return value ?? false;
  throw new TypeError(`${name} must be a boolean, not ${kindOf(value)}`);
}

/** One of the strings of `values`. */
export function checkOneOf<T extends string>(value: unknown, name: string, values: readonly T[]): T {
  if (values.includes(value as T)) return value as T;
  const given = typeof value === "string" ? `"${printable(value)}"` : kindOf(value);
  throw new TypeError(`${name} must be one of ${values.map((v) => `"${v}"`).join(", ")}, not ${given}`);
}

/** An object whose own keys are all in `keys`: a misspelt option is never ignored. */
export function checkKeys(value: unknown, name: string, keys: readonly string[]): void {
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`${name} must be an object, not ${kindOf(value)}`);
  }
  for (const key in value) {
    let i = 0;
    while (i < keys.length && keys[i] !== key) i++; // includes() is a call
    if (i === keys.length) {
      throw new TypeError(`${name} has no field "${printable(key)}"; it may have ${keys.join(", ")}`);
    }
  }
}

/** The keys of a type, for {@linkcode checkKeys}: all of them, or it does not compile. */
export function keysOf<T>(keys: Record<T extends unknown ? keyof T : never, true>): readonly string[] {
  return Object.keys(keys);
}

/** Refuses an object that has not exactly one of `fields`. */
export function checkOnlyOne(value: object, name: string, fields: readonly string[]): void {
  const given = fields.filter((field) => (value as Record<string, unknown>)[field] !== undefined);
  if (given.length === 0) throw new TypeError(`${name} must have one of ${fields.join(", ")}`);
  if (given.length > 1) throw new TypeError(`${name} may have ${given.join(" or ")}, not both`);
}

/** A path as a string; of a URL, only `file:`. */
export function checkPath(value: unknown, name: string): string {
  if (value instanceof URL) {
    const path = pathOf(value);
    if (path === undefined) throw new TypeError(`${name} must be a path or a file: URL, not ${value.href}`);
    return checkString(path, name);
  }
  return checkString(value, name);
}

function pathOf({ protocol, host, pathname }: URL): string | undefined {
  if (protocol !== "file:" || host !== "") return undefined;
  try {
    return decodeURIComponent(pathname);
  } catch {
    return undefined; // an escape that is none
  }
}

/** An abort signal, or none. */
export function checkSignal(signal: unknown, name: string): void {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`${name} must be an AbortSignal, not ${kindOf(signal)}`);
  }
}

/** What a value is, for a message. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value !== "object") return typeof value;
  const name = value.constructor?.name;
  return name === undefined || name === "Object" ? "an object" : `${/^[AEIO]/.test(name) ? "an" : "a"} ${name}`;
}

/** Whether a text has visible ASCII characters and spaces only: to compile the sets of Unicode takes half a millisecond. */
export function isPlain(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}

/**
 * A text without control and formatting characters, which could command a terminal: processes
 * choose their names, and users who may write to a directory those of pins and cgroups.
 */
export function printable(text: string): string {
  if (isPlain(text)) return text;
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0)!.toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u{${code}}`;
  });
}
