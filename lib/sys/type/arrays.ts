/** Arrays among the options of multi links. */
import { checkString, checkU64 } from "../../check.ts";
import type { Request } from "../../ffi/request.ts";

/** Points the u64 at `at` to `count` u64 values. */
export function encodeLongs(
  request: Request,
  at: number,
  values: readonly bigint[] | undefined,
  name: string,
  count: number,
): void {
  if (values === undefined) return;
  if (values.length !== count) {
    throw new TypeError(`${name} must have ${count} values, one for each place, not ${values.length}`);
  }
  if (count === 0) return;
  const longs = BigUint64Array.from(values, (value, i) => checkU64(value, `${name}[${i}]`));
  request.data(at, new Uint8Array(longs.buffer));
}

/** Points the u64 at `at` to an array of pointers to strings. */
export function encodeStrings(request: Request, at: number, values: readonly string[] | undefined, name: string): void {
  if (values === undefined || values.length === 0) return;
  const array = request.room(at, values.length * 8);
  values.forEach((value, i) => request.string(array + i * 8, checkString(value, `${name}[${i}]`)));
}
