/** What a kind makes of a target: the arguments of one call that creates the link. */
import { BpfMap } from "../map.ts";
import type { Program } from "../program.ts";
import { expectedAttachTypeOf } from "../program.ts";
import { checkFd, checkPath, kindOf } from "../sys/check.ts";
import type { LinkCreateOptions } from "../sys/link_create.ts";
import { checkNetns, close, open } from "../sys/system.ts";
import { type AttachType, attachTypeNumber, type MapType } from "../uapi/types.ts";

/** The arguments of LINK_CREATE, or of RAW_TRACEPOINT_OPEN, beside the program. */
export type Attachment =
  & (
    | { readonly attachType: AttachType; readonly targetFd: number; readonly options?: LinkCreateOptions | undefined }
    | { readonly rawTracepoint: string | undefined; readonly cookie?: bigint | undefined }
  )
  & {
    /** fds that were opened for the call, to be closed after it. */
    readonly temporary?: readonly number[];
  };

/** Closes what {@linkcode Attachment.temporary} lists. */
export function closeTemporary({ temporary }: Attachment): void {
  if (temporary !== undefined) { for (const fd of temporary) close(fd); }
}

/** A network namespace: its file, or an fd of it. */
export type Netns = string | URL | number;

/** An fd of a namespace or directory that the user gives as path or fd, and what to close after the call. */
export function openTarget(value: unknown, name: string): { fd: number; temporary: number[] } {
  if (typeof value === "number") return { fd: checkFd(value, name), temporary: [] };
  if (typeof value !== "string" && !(value instanceof URL)) {
    throw new TypeError(`${name} must be a path, a file: URL or an fd, not ${kindOf(value)}`);
  }
  const fd = open(checkPath(value, name));
  return { fd, temporary: [fd] };
}

/** The same for a network namespace, which is checked to be one. */
export function openNetns(value: unknown, name: string): { fd: number; temporary: number[] } {
  const target = openTarget(value, name);
  try {
    checkNetns(target.fd, typeof value === "number" ? `fd ${value}` : `"${value}"`);
    return target;
  } catch (error) {
    target.temporary.forEach(close);
    throw error;
  }
}

/** The fd of a map that is of one of `types`. */
export function mapFd(value: unknown, name: string, types?: readonly MapType[]): number {
  if (!(value instanceof BpfMap)) throw new TypeError(`${name} must be a BpfMap, not ${kindOf(value)}`);
  if (types !== undefined && !types.includes(value.type)) {
    throw new TypeError(`${name} must be a map of type ${types.join(" or ")}, not ${value.type}`);
  }
  return value.fd;
}

/** The attach type of a target: as given, or as the program was loaded for. */
export function attachTypeOf<T extends AttachType>(
  given: T | undefined,
  program: Program,
  fits: (attachType: AttachType) => boolean,
  among: string,
): T {
  const attachType = given ?? expectedAttachTypeOf(program);
  if (attachType === undefined) {
    throw new TypeError(
      `target.attachType is required: the kernel does not tell for which attach type program ${program.id} was loaded; it may be ${among}`,
    );
  }
  attachTypeNumber(attachType, "target.attachType"); // throws if there is no such type
  if (!fits(attachType)) throw new TypeError(`target.attachType must be ${among}, not "${attachType}"`);
  return attachType as T;
}
