/** What is known of a link type from the kernel's side: the shape of each file in this folder. */
import { checkString, checkU64 } from "../../check.ts";
import type { Explanation } from "../../error.ts";
import type { Request } from "../../ffi/request.ts";
import type { Rows } from "../../refusal.ts";
import type { AttachTypeName, LinkType } from "../../uapi/constants.ts";

/** What the info of every link has. */
export interface LinkInfoHead<T extends LinkType> {
  /** The type of the link. */
  readonly type: T;
  /** The link's id. */
  readonly id: number;
  /** The program's id; 0 for struct_ops. */
  readonly progId: number;
}

/** `struct bpf_link_info` as the kernel filled it. */
export interface Answer {
  u32(at: number): number;
  u64(at: number): bigint;
}

/** A second question to the same link, with room for what lies outside of the struct; offsets count from the struct. */
export interface Question extends Answer {
  set(at: number, value: number): this;
  /** A u64 that the kernel overwrites if it knows the field, for {@linkcode Question.written}. Never for pointers or lengths. */
  sentinel(at: number): this;
  /** Points the u64 at `at` to room of `size` bytes and returns where that is. */
  room(at: number, size: number): number;
  /** The u64 at `at`, if the kernel wrote over the sentinel. */
  written(at: number): bigint | undefined;
  string(at: number, size: number): string;
}

/** What can be asked of the link beyond the first answer. */
export interface Asker {
  /** Asks again; `prepare` makes room, and what it returns is returned with the answer. */
  ask<T>(prepare: (question: Question) => T): [question: Question, prepared: T];
  /** A string outside of the struct, whose length the first answer gave. */
  text(at: number, lengthAt: number, length: number): string;
  /** The value of a u64 field if this kernel writes the field, which is found out once for each `key`. */
  known(key: string, at: number, value: bigint): bigint | undefined;
}

/** The lines of a link's fdinfo. */
export interface Fdinfo {
  readonly text: string;
  /** The name of the type, which may say that a probe runs at return. */
  readonly type: string;
  has(key: string): boolean;
  string(key: string): string;
  u32(key: string): number;
  u64(key: string): bigint;
  /** A field that the kernel may leave out. */
  optional<K extends string>(key: string, as: K): { [P in K]?: bigint };
}

// A record: type u16 and length u16, id, program's id, and what the type has, then perhaps a name. Every byte of it is
// written, for what lay on the stack would look like a change.
/** The places of what types have, in words. */
export const A = 3, B = 4, C = 6, D = 8;

/** A place in the record, and the paths from the struct to what is written there: the first that this kernel has. */
export type RecordField = readonly [place: number, ...paths: string[]];

/** Reads a record at word `at`; `filled` are the places of `more` that are filled. It runs for each link. */
export type RecordReader<I> = (
  words: Uint32Array,
  longs: BigUint64Array,
  at: number,
  filled: ReadonlySet<number>,
  name: string,
) => I;

/** What the iterator's program writes of a type's links, and how that is read. */
export interface LinkRecord<I> {
  /** The kernel's struct; its member `link` is where the iterator's pointer points to. */
  readonly struct: string;
  /** Without one of them links of the type are left to info. */
  readonly fields: readonly RecordField[];
  /** Those that a kernel may do without. */
  readonly more?: readonly RecordField[];
  /** The path of a string. */
  readonly name?: string;
  /** Info reports more than the record. */
  readonly isIncomplete?: true;
  /** Reads it. */
  read(...args: Parameters<RecordReader<I>>): I;
  /** Only records of the same name are alike. */
  readonly variesByName?: true;
}

/** The options of LINK_CREATE that belong to a type. */
export interface OptionsCodec<O> {
  /** Their names. */
  readonly fields: readonly (keyof O & string)[];
  /** Bytes of the attr that they take: an older kernel refuses what it does not know. */
  size(options: O): number;
  encode(request: Request, options: O): void;
}

/** A field of the info that names what a link is attached to: 0 once it is detached. */
export type PlaceField = "cgroupId" | "netnsIno" | "ifindex" | "mapId" | "targetBtfId";

/** Everything about a link type that the mechanisms of `sys` and `listing` need. */
export interface LinkTypeRow<I extends LinkInfoHead<LinkType>, O> {
  /** The kernel that brought links of the type. */
  readonly since: string;
  /** The attach types that LINK_CREATE makes such links for. */
  readonly attachTypes: readonly AttachTypeName[];
  /** The kernels of attach types that came later. */
  readonly attachTypesSince?: Readonly<Record<string, string>>;
  /** What LINK_CREATE's target is, where there is one: an fd, unless it says so. */
  readonly target?: "ifindex";
  /** What PROG_QUERY of a hook reports of each program beside its id: its flags, or those and its link. */
  readonly query?: "flags" | "links";
  /** Whether LINK_UPDATE takes such links. */
  readonly hasUpdate: boolean;
  /** What is 0 once the link is detached. */
  readonly place?: PlaceField;
  /** What errnos of LINK_CREATE mean for the type. */
  readonly refusals: () => Rows;
  /** What a refusal means on a kernel that has such links, but not by LINK_CREATE with these options. */
  tooOld?(options: O | undefined): Explanation | undefined;
  readonly options?: OptionsCodec<O>;
  /** Names or arrays lie outside of the info's struct, so reading the info needs the fd. */
  readonly asksAgain?: true;
  /** Reads the info. */
  info(answer: Answer, id: number, progId: number, asker: Asker): I;
  /** What fdinfo calls the type, if not by its name. */
  readonly fdinfoTypes?: readonly string[];
  /** Reads the info from fdinfo; `undefined` where it does not report enough. */
  fdinfo(lines: Fdinfo, id: number, progId: number): I | undefined;
  readonly record?: LinkRecord<I>;
  /** The info when nothing but type, id and program is known; without it such a link counts as unknown. */
  bare?(id: number, progId: number): I;
}

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
