/** How handles are known, by a private field of their class, which nothing else can have; and how they are shown. */
import { kindOf } from "../check.ts";

/** The classes that hold an fd. */
export type HandleKind = "link" | "program" | "map";

const CLASSES = { link: "Link", program: "Program", map: "BpfMap" } as const;

/** Each copy of this package marks its classes so. */
const MARK = Symbol.for("@bpf/link handle");

const none = (_: object) => false;
// a variable each: to look into an object by a name that varies takes as long as the rest of an update
let isLinkHandle = none, isProgramHandle = none, isMapHandle = none;

/**
 * Makes a class known.
 *
 * @param isOurs Asks for the private field.
 * @param show What `console.log` shows of a handle.
 */
export function brand<T extends object>(
  kind: HandleKind,
  { prototype }: { prototype: T },
  isOurs: (value: object) => boolean,
  show: (handle: T) => string,
): void {
  if (kind === "link") isLinkHandle = isOurs;
  else if (kind === "program") isProgramHandle = isOurs;
  else isMapHandle = isOurs;
  Object.defineProperty(prototype, MARK, { value: kind });
  showAs(prototype, show);
}

/** Says what `console.log` shows of an object of a class. */
export function showAs<T extends object>(prototype: T, show: (value: T) => string): void {
  Object.defineProperty(prototype, Symbol.for("Deno.customInspect"), {
    value(this: T): string {
      return show(this);
    },
  });
}

/** Whether a value is a handle of this kind. */
export function isHandle(value: unknown, kind: HandleKind): boolean {
  return typeof value === "object" && value !== null &&
    (kind === "program" ? isProgramHandle(value) : kind === "map" ? isMapHandle(value) : isLinkHandle(value));
}

/** Refuses what is no handle of this kind. */
export function checkHandle(value: unknown, kind: HandleKind, name: string): void {
  if (!isHandle(value, kind)) throw new TypeError(`${name} must be a ${CLASSES[kind]}, not ${describeValue(value)}`);
}

/** A value in a message; a handle may come from another copy of this package. */
export function describeValue(value: unknown): string {
  if (typeof value !== "object" || value === null || !(MARK in value)) return kindOf(value);
  const kind = value[MARK] as HandleKind;
  if (isHandle(value, kind)) return `a ${CLASSES[kind]}`;
  return `a ${
    CLASSES[kind]
  } of another copy of @bpf/link: import one version of the package, or pass its fd to fromFd()`;
}
