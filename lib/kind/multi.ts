/** What the targets of multi links share: many places of one link. */
import { checkFlag, kindOf } from "../sys/check.ts";

/** A link takes no more places than this. */
const MAX_PLACES = 1 << 20;

type Check<T> = (element: unknown, name: string) => T;

/** Refuses a target that has not exactly one of `fields`. */
export function checkOnlyOne(target: object, fields: readonly string[]): void {
  const given = fields.filter((field) => (target as Record<string, unknown>)[field] !== undefined);
  if (given.length === 0) throw new TypeError(`target must have one of ${fields.join(", ")}`);
  if (given.length > 1) throw new TypeError(`target may have ${given.join(" or ")}, not both`);
}

/** The array `value`, its elements checked. */
export function checkArray<T>(value: unknown, name: string, check: Check<T>): readonly T[] {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array, not ${kindOf(value)}`);
  if (value.length === 0 || value.length > MAX_PLACES) {
    throw new RangeError(`${name} must have 1 to ${MAX_PLACES} elements, not ${value.length}`);
  }
  return value.map((element, i) => check(element, `${name}[${i}]`));
}

/** A field of one value for each place, if it is given. With a pattern there is no telling which place is whose. */
export function checkPerPlace<T>(
  target: object,
  field: string,
  check: Check<T>,
  places: number | undefined,
): readonly T[] | undefined {
  const value = (target as Record<string, unknown>)[field];
  if (value === undefined) return undefined;
  if (places === undefined) throw new TypeError(`target may have ${field} or pattern, not both`);
  if (Array.isArray(value) && value.length !== places) {
    throw new TypeError(`target.${field} must have ${places} elements, one for each place, not ${value.length}`);
  }
  return checkArray(value, `target.${field}`, check);
}

/** When the program of a multi link runs: at entry, at return, or both. */
export function checkRun(target: { retprobe?: boolean | undefined; session?: boolean | undefined }): {
  retprobe: boolean;
  session: boolean;
} {
  const retprobe = checkFlag(target.retprobe, "target.retprobe");
  const session = checkFlag(target.session, "target.session");
  if (retprobe && session) throw new TypeError("target may have retprobe or session, not both");
  return { retprobe, session };
}
