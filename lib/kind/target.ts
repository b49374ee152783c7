/** What a kind makes of a target: the arguments of one call that creates the link. */
import { checkFd, checkFlag, checkPath, kindOf } from "../check.ts";
import { BpfError, type Explanation } from "../error.ts";
import { checkHandle } from "../handle/brand.ts";
import { encoder } from "../lazy.ts";
import type { BpfMap } from "../map.ts";
import { elfFunctionOffsets, type WantedFunctions } from "../os/elf_functions.ts";
import { closeIfOpen, open, readAt, statPath } from "../os/files.ts";
import { checkDevice, checkNetns, deviceIndex } from "../os/interfaces.ts";
import type { KernelFunction } from "../os/kallsyms.ts";
import { exists, findLibrary, isLibraryName, placesOf } from "../os/libraries.ts";
import { mounts } from "../os/proc.ts";
import { unlessRefused } from "../refusal.ts";
import { expectedAttachTypeOf, type Program } from "../program.ts";
import { programFits } from "../sys/link_create.ts";
import { typeOfAttachType } from "../sys/type/mod.ts";
import {
  type AttachType,
  type AttachTypeName,
  attachTypeNumber,
  type LinkType,
  type MapType,
} from "../uapi/constants.ts";
import { O_NONBLOCK, PATH_MAX } from "../uapi/linux.ts";
import type { Attachment, FunctionNames, PlaceNames } from "./kind.ts";

/** Closes what {@linkcode Attachment.temporary} lists. */
export function closeTemporary({ temporary }: Attachment): void {
  if (temporary !== undefined) { for (const fd of temporary) closeIfOpen(fd); }
}

/** A network namespace: its file, or an fd of it. */
export type Netns = string | URL | number;

/** An fd of a namespace or directory that the user gives as path or fd, and what to close after the call. */
export function openTarget(value: unknown, name: string, of: Usually): { fd: number; temporary: readonly number[] } {
  if (typeof value === "number") return { fd: checkFd(value, name), temporary: NONE };
  if (typeof value !== "string" && !(value instanceof URL)) {
    throw new TypeError(`${name} must be a path, a file: URL or an fd, not ${kindOf(value)}`);
  }
  const path = checkPath(value, name), fd = naming(name, path, of, () => open(path));
  return { fd, temporary: [fd] };
}

const NONE: readonly number[] = [];

/** Where files of a kind usually are: those that a path which does not exist may mean, and an example. */
export interface Usually {
  places(path: string): string[];
  readonly example: string;
}

/** Cgroups, which /proc and tools name without the mount. */
export const CGROUPS: Usually = {
  places: (path) =>
    mounts("self", "cgroup2").map((mount) => `${mount.path}/${path.replace(/^\/+/, "")}`).filter(exists),
  example: 'a cgroup is a directory of a cgroup2 file system, such as "/sys/fs/cgroup/NAME"',
};
/** The directory of a cgroup whose path is whole, or as `/proc` and tools name it: from where cgroup2 is mounted. */
export function cgroupDirectory(path: string): string {
  const own = mounts("self", "cgroup2"), device = unlessRefused(() => statPath(path).device);
  if (own.some((mount) => mount.device === device)) return path;
  return CGROUPS.places(path)[0] ?? path;
}

const NETWORK_NAMESPACES: Usually = {
  places: (path) => path.includes("/") ? [] : [`/run/netns/${path}`, `/proc/${path}/ns/net`].filter(exists),
  example: 'a network namespace is a file, such as "/run/netns/NAME" or "/proc/PID/ns/net"',
};
const CODE: Usually = {
  places: (path) => path.includes("/") ? [] : placesOf(path),
  example: 'name an executable by its path, a library also as programs load it, such as "libc.so.6"',
};

/** What `look` sees at a path; an error names the field that has the path, and where one would look instead. */
export function naming<T>(field: string, path: string, of: Usually, look: () => T): T {
  try {
    return look();
  } catch (error) {
    if (!(error instanceof BpfError && ["openat", "pread64"].includes(error.command))) throw error;
    const { errno, code, command, reason, meaning, hint } = error;
    const action = `Cannot open ${field} "${path}"`;
    throw new BpfError(errno, {
      action,
      command,
      reason,
      meaning,
      hint: code === "ENOENT" ? elsewhere(path, of) : hint,
    });
  }
}

function elsewhere(path: string, { places, example }: Usually): string {
  const found = unlessRefused(() => places(path)) ?? [];
  return found.length === 0 ? example : `did you mean ${found.slice(0, 3).map((it) => `"${it}"`).join(" or ")}?`;
}

/** Where functions begin in the file of a target. */
export function functionOffsets(path: string, wanted: WantedFunctions): number[] {
  return naming("target.path", path, CODE, () => elfFunctionOffsets(path, wanted));
}

/** Whether the kernel refuses the file of a target, or an offset in it, where its errno means more than that. */
export function whyNoPlace({ code }: BpfError, path: string, offsets: readonly number[]): Explanation | undefined {
  if (code === "ENOENT") {
    return { reason: "gone", meaning: `there is no file target.path "${path}"`, hint: elsewhere(path, CODE) };
  }
  if (code !== "EINVAL") return undefined;
  const last = offsets.reduce((a, b) => Math.max(a, b), 0), fd = open(path, O_NONBLOCK);
  try {
    if (readAt(fd, path, last, 1).length > 0) return undefined;
    return { reason: "invalid", meaning: `offset 0x${last.toString(16)} lies outside of the file "${path}"` };
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return { reason: "invalid", meaning: `"${path}" is no regular file` };
  } finally {
    closeIfOpen(fd);
  }
}

/** Whether a program was loaded for another kind of targets, as far as that is known. */
export function whyLoadedFor(
  { code }: BpfError,
  program: Program,
  wanted: AttachTypeName,
): Explanation | undefined {
  const loadedFor = expectedAttachTypeOf(program);
  if (code !== "EINVAL" || loadedFor === undefined || loadedFor === wanted) return undefined;
  const hint = `load it with expectedAttachType "${wanted}"`;
  return { reason: "invalid", meaning: `the program was loaded for ${loadedFor}`, hint };
}

/** The file of a target that is an executable or a library; a library's bare name is looked up as loaders do. */
export function fileOf(value: unknown, pid: number | undefined): string {
  const path = checkPath(value, "target.path");
  // some kernels say EINVAL of a longer one, as of much else
  if (encoder().encode(path).length >= PATH_MAX) {
    throw new RangeError(`target.path must have less than ${PATH_MAX} bytes`);
  }
  return isLibraryName(path) ? findLibrary(path, pid) : path;
}

/** The same for a network namespace, which is checked to be one. */
export function openNetns(value: unknown, name: string): { fd: number; temporary: readonly number[] } {
  const target = openTarget(value, name, NETWORK_NAMESPACES);
  try {
    checkNetns(target.fd, `${name} ${typeof value === "number" ? `(fd ${value})` : `"${value}"`}`);
    return target;
  } catch (error) {
    target.temporary.forEach(closeIfOpen);
    throw error;
  }
}

/** The fd of a map that is of one of `types`. */
export function mapFd(value: BpfMap, name: string, types?: readonly MapType[]): number {
  checkHandle(value, "map", name);
  if (types !== undefined && !types.includes(value.type)) {
    throw new TypeError(`${name} must be a map of type ${types.join(" or ")}, not ${value.type}`);
  }
  return value.fd;
}

/** The attach type of a target: as given, or as the program was loaded for; one of those that make links of a type. */
export function attachTypeOf<T extends AttachTypeName>(
  given: T | undefined,
  program: Program,
  linkType: LinkType,
  among: string,
): T {
  const attachType = given ?? expectedAttachTypeOf(program);
  if (attachType === undefined) {
    throw new TypeError(
      `target.attachType is required: the kernel does not report for which attach type program ${program.id} was loaded; it may be ${among}`,
    );
  }
  const number = attachTypeNumber(attachType, "target.attachType");
  if (typeOfAttachType(number) === linkType) return attachType as T;
  throw new TypeError(`target.attachType must be ${among}, not "${attachType}"`);
}

/** A network interface, by name (also a second one, `altname`) or number. */
export type Device = string | number;

/** The arguments for a target that is an interface, in this or another network namespace. */
export function interfaceTarget<O extends object>(
  target: { device: Device; netns?: Netns | undefined },
  options: O,
): { targetFd: number; options: O & { netns?: number }; temporary: readonly number[] } {
  checkDevice(target.device);
  if (target.netns === undefined) return { targetFd: deviceIndex(target.device), options, temporary: [] };
  const { fd, temporary } = openNetns(target.netns, "target.netns");
  try {
    return { targetFd: deviceIndex(target.device, fd), options: { ...options, netns: fd }, temporary };
  } catch (error) {
    temporary.forEach(closeIfOpen);
    throw error;
  }
}

export function describeInterface(target: { device: Device; netns?: Netns | undefined }): string {
  const device = typeof target.device === "string" ? `"${target.device}"` : `interface ${target.device}`;
  return target.netns === undefined ? device : `${device} in network namespace ${target.netns}`;
}

/** The arguments for a perf event that was opened for the call: the link keeps it. */
export function toEvent(fd: number, cookie: bigint | undefined): Attachment {
  const options = cookie === undefined ? undefined : { perfEvent: { bpfCookie: cookie } };
  return { attachType: "perf_event", targetFd: fd, options, temporary: [fd] };
}

/** Why a program cannot be attached as its target says, which the kernel answers with EINVAL, as it does much else. */
export function whyMisfit({ code }: BpfError, attachment: Attachment, program: Program): Explanation | undefined {
  if (code !== "EINVAL" || !("attachType" in attachment)) return undefined;
  const { attachType } = attachment, loadedFor = expectedAttachTypeOf(program);
  if (programFits(program.fd, attachType)) return undefined;
  return {
    reason: "invalid",
    meaning: `the program (${program.type}${
      loadedFor === undefined ? "" : `, loaded for ${loadedFor}`
    }) does not fit the attach type ${attachType}`,
    hint: "load it for this attach type, or name the one that it was loaded for",
  };
}

/** Why a name alone does not say which function of the kernel is meant. */
export function severalFunctions(name: string, functions: readonly KernelFunction[], how: string): Explanation {
  const places = functions.filter(({ address }) => address !== 0n).slice(0, 8).map(({ address, module }) =>
    `0x${address.toString(16)}${module === undefined ? "" : ` (${module}:${name})`}`
  );
  return {
    reason: "invalid",
    meaning: `several functions are called ${name}${places.length === 0 ? "" : `, at ${places.join(", ")}`}`,
    hint: `give the one that is meant by ${how}`,
  };
}

/** A link takes no more places than this. */
const MAX_PLACES = 1 << 20;

type Check<T> = (element: unknown, name: string) => T;

/** The array `value`, its elements checked. */
export function checkArray<T>(value: unknown, name: string, check: Check<T>): readonly T[] {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array, not ${kindOf(value)}`);
  if (value.length === 0 || value.length > MAX_PLACES) {
    throw new RangeError(`${name} must have 1 to ${MAX_PLACES} elements, not ${value.length}`);
  }
  return value.map((element, i) => check(element, `${name}[${i}]`));
}

/** A field of one value for each place, if it is given. With a pattern nothing says which value belongs to which place. */
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

/** What a link to an interface is attached to, in words. */
export function whereInterface(
  info: { readonly ifindex: number; readonly netnsIno?: number; readonly attachType?: AttachType },
  { device, netns }: PlaceNames,
): string {
  const { ifindex, netnsIno, attachType } = info;
  const which = attachType === undefined ? "" : ` ${attachType.slice(attachType.indexOf("_") + 1)}`;
  if (netns !== undefined) return `${device ?? `interface ${ifindex}`}${which} in ${netns}`;
  return `${device ?? `interface ${ifindex}${netnsIno === undefined ? "" : ` in net:[${netnsIno}]`}`}${which}`;
}

/** A device as a command line names it. */
export function deviceFrom(where: string): Device {
  return /^\d+$/.test(where) ? Number(where) : where;
}

/** How many, in words. */
export function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** Bytes behind a symbol or the beginning of a file, in words. */
export function offsetWords(bytes: number): string {
  return bytes === 0 ? "" : `+0x${bytes.toString(16)}`;
}

/** A place in a file, such as `libc.so.6:malloc+0x0`. */
export function fileWords(path: string, offset: number, functions: FunctionNames): string {
  const name = functions.inFile(path, offset), file = path.slice(path.lastIndexOf("/") + 1);
  return name === undefined ? `${file}+0x${offset.toString(16)}` : `${file}:${name}+0x0`;
}

/** Functions on a line: how many, and the first of them. */
export function functionsWords(count: number, names: readonly (string | undefined)[]): string {
  const known = names.filter((name) => name !== undefined);
  if (count === 1 && known.length === 1) return known[0]!;
  const list = [...known, ...known.length < count ? ["..."] : []].join(", ");
  return `${count} functions${known.length === 0 ? "" : `: ${list}`}`;
}

/** How many functions words name; the rest is a number. */
export const MOST_NAMED = 8;
