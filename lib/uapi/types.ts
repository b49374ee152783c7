/** The kernel's enumerations as types and numbers; see constants.ts for their values. */
import { ATTACH_TYPES, type LINK_TYPES, MAP_TYPES, PROGRAM_TYPES } from "./constants.ts";

/** The type of a link, as libbpf's `libbpf_bpf_link_type_str` names it; `unknown` is one newer than this package. */
export type LinkType = (typeof LINK_TYPES)[number];

/** Where in a cgroup a program runs, as libbpf's `libbpf_bpf_attach_type_str` names it. */
export type CgroupAttachType =
  | Extract<(typeof ATTACH_TYPES)[number], `cgroup_${string}` | "lsm_cgroup">
  | (`cgroup_${string}` & Record<never, never>);

/** An attach type, as libbpf's `libbpf_bpf_attach_type_str` names it; `attach_type_N` is one newer than this package. */
export type AttachType = (typeof ATTACH_TYPES)[number] | (string & Record<never, never>);

/** A program type, as libbpf's `libbpf_bpf_prog_type_str` names it; `program_type_N` is one newer than this package. */
export type ProgramType = (typeof PROGRAM_TYPES)[number] | (string & Record<never, never>);

/** A map type, as libbpf's `libbpf_bpf_map_type_str` names it; `map_type_N` is one newer than this package. */
export type MapType = (typeof MAP_TYPES)[number] | (string & Record<never, never>);

const attachTypes: ReadonlyMap<string, number> = new Map(ATTACH_TYPES.map((name, number) => [name, number]));
const programTypes: ReadonlyMap<string, number> = new Map(PROGRAM_TYPES.map((name, number) => [name, number]));
const mapTypes: ReadonlyMap<string, number> = new Map(MAP_TYPES.map((name, number) => [name, number]));

/** The kernel's number of an attach type. */
export function attachTypeNumber(value: unknown, name: string): number {
  return numberOf(value, name, attachTypes, "attach_type_");
}

/** The name of the kernel's attach type `number`. */
export function attachTypeName(number: number): AttachType {
  return ATTACH_TYPES[number] ?? `attach_type_${number}`;
}

/** The kernel's number of a program type. */
export function programTypeNumber(value: unknown, name: string): number {
  return numberOf(value, name, programTypes, "program_type_");
}

/** The name of the kernel's program type `number`. */
export function programTypeName(number: number): ProgramType {
  return PROGRAM_TYPES[number] ?? `program_type_${number}`;
}

/** The kernel's number of a map type. */
export function mapTypeNumber(value: unknown, name: string): number {
  return numberOf(value, name, mapTypes, "map_type_");
}

/** The name of the kernel's map type `number`. */
export function mapTypeName(number: number): MapType {
  return MAP_TYPES[number] ?? `map_type_${number}`;
}

function numberOf(value: unknown, name: string, known: ReadonlyMap<string, number>, prefix: string): number {
  const number = known.get(value as string);
  if (number !== undefined) return number;
  if (typeof value !== "string") {
    throw new TypeError(`${name} must be a string, not ${value === null ? "null" : typeof value}`);
  }
  if (value.startsWith(prefix) && /^\d{1,9}$/.test(value.slice(prefix.length))) {
    return Number(value.slice(prefix.length));
  }
  throw new TypeError(`${name} "${value}" is not known; it may be one of ${[...known.keys()].join(", ")}`);
}
