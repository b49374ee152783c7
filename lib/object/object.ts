/** Compiled objects: the programs, maps and global variables of a `.bpf.o` of clang, by name. */
import { checkFlag, checkKeys, checkPath, checkString, checkU32, keysOf, kindOf } from "../check.ts";
import type { EnsureAsyncOptions, EnsuredLink, EnsureOptions } from "../ensure_pinned.ts";
import { BpfError } from "../error.ts";
import { checkHandle, showAs } from "../handle/brand.ts";
import type { LinkGroup } from "../group.ts";
import type { AttachOptions } from "../kind/attach.ts";
import type { TargetType } from "../kind/mod.ts";
import type { AnyLink, LinkOf } from "../link.ts";
import { BpfMap } from "../map.ts";
import { numbers } from "../ffi/object/symbols.ts";
import { duplicateFd } from "../os/files.ts";
import { adoptProgram, type Program } from "../program.ts";
import type { AttachTypeName, MapType, ProgramType } from "../uapi/constants.ts";
import { EEXIST } from "../uapi/errno.ts";
import { type Attached, Attachments, type UsdtProbe } from "./attach.ts";
import { Btf } from "./btf.ts";
import { globalsOf } from "./globals.ts";
import { type MapRecord, ObjectHandle, type ProgramRecord } from "./handle.ts";
import { noSuchName } from "./names.ts";
import { toBytes } from "./file.ts";
import type { AttachOverrides, UsdtOverrides } from "./sections.ts";
import { TypedMap } from "./typed_map.ts";
import type { ObjectTypes, Writable } from "./types.ts";

/** What is known of an object of which nothing is known before it is opened: whatever is asked for may be there. */
export interface UnknownTypes extends ObjectTypes {
  /** Any program. */
  programs: string;
  /** Any map, with any keys and values. */
  // deno-lint-ignore no-explicit-any -- as of what JSON.parse returns
  maps: Record<string, { key: any; value: any }>;
  /** Any variable. */
  // deno-lint-ignore no-explicit-any
  globals: Record<string, any>;
  /** Any struct. */
  // deno-lint-ignore no-explicit-any
  types: Record<string, any>;
}

/** The names of the programs of an object. */
export type ProgramName<T extends ObjectTypes> = NonNullable<T["programs"]> & string;
/** The names of the maps of an object. */
export type MapName<T extends ObjectTypes> = keyof NonNullable<T["maps"]> & string;
/** The global variables of an object by name. */
export type Globals<T extends ObjectTypes> = NonNullable<T["globals"]>;
/** A map of an object by its name. */
export type MapOf<T extends ObjectTypes, N extends MapName<T>> = TypedMap<
  NonNullable<T["maps"]>[N]["key"],
  NonNullable<T["maps"]>[N]["value"],
  NonNullable<T["types"]>
>;

/** What is to be otherwise than a map of an object declares it. */
export interface MapOptions {
  /** How many elements; bytes for a ring buffer. */
  maxEntries?: number | undefined;
  /** A map that is there already, of the same type and sizes, to be used in its place. */
  reuse?: BpfMap | TypedMap | undefined;
  /** `false`: it is not made. A program that uses it cannot be loaded then, unless it asks before. */
  create?: boolean | undefined;
  /**
   * A path on a bpf file system: what is pinned there is used, else the map is made and pinned there, in a directory that
   * is made if only that is missing.
   */
  pin?: string | URL | undefined;
}

/** A function of a program. */
export interface FunctionOf {
  /** The program, which has BTF. */
  program: Program;
  /** The function's name in C; that of the section if absent. */
  symbol?: string | undefined;
}

/** How {@linkcode BpfObject.open} opens. */
export interface OpenOptions<T extends ObjectTypes = UnknownTypes> {
  /** Values of global variables that programs see from the start; constants (`.rodata`) can be set only so. */
  globals?: Partial<Writable<Globals<T>>> | undefined;
  /** What is to be otherwise of maps, by name. */
  maps?: Partial<Record<MapName<T>, MapOptions>> | undefined;
  /** The programs to load; absent, all but those whose section begins with `?`. */
  programs?: readonly ProgramName<T>[] | undefined;
  /**
   * Programs that are for something else than their section says, by name: a function of the kernel; or one of a program
   * that is loaded, which is replaced (`freplace`) or traced. Finding that takes CAP_SYS_ADMIN.
   */
  attachTo?: Partial<Record<ProgramName<T>, string | FunctionOf>> | undefined;
  /** Where maps are pinned that ask for it (`LIBBPF_PIN_BY_NAME`); /sys/fs/bpf if absent. */
  pinDirectory?: string | URL | undefined;
  /** A file with the kernel's BTF, for CO-RE where the kernel has none of its own. */
  kernelBtf?: string | URL | undefined;
  /** Lines such as `CONFIG_HZ=100`, which count before the kernel's own configuration. */
  kconfig?: string | undefined;
  /** The directory of a bpf file system that delegates to this process: a BPF token is made of it; since Linux 6.9. */
  token?: string | URL | undefined;
}

/** A program of an object. */
export interface ObjectProgram {
  /** Its name: that of the function in C. */
  readonly name: string;
  /** The section that it is in, which says what it is for. */
  readonly section: string;
  /** Its type, as libbpf names it. */
  readonly type: ProgramType;
  /** What it is to be attached as, where its type has several. */
  readonly attachType?: AttachTypeName;
  /** Whether it is, or is to be, loaded. */
  readonly load: boolean;
  /** How many instructions it has, those of functions that it calls not counted before it is loaded. */
  readonly instructions: number;
}

/** A map of an object. */
export interface ObjectMap {
  /** Its name. */
  readonly name: string;
  /** Its type, as libbpf names it. */
  readonly type: MapType;
  /** Bytes of a key. */
  readonly keySize: number;
  /** Bytes of a value. */
  readonly valueSize: number;
  /** How many elements; bytes for a ring buffer. */
  readonly maxEntries: number;
  /** The kernel's flags (`BPF_F_*`). */
  readonly flags: number;
  /** Whether it is, or is to be, made. */
  readonly create: boolean;
  /** Where it is, or is to be, pinned. */
  readonly pin?: string;
  /** Whether it is a section of global variables, such as `.bss`; see {@linkcode BpfObject.globals}. */
  readonly isSection: boolean;
}

const { settings } = numbers;

const OPTIONS = keysOf<OpenOptions>({
  globals: true,
  maps: true,
  programs: true,
  attachTo: true,
  pinDirectory: true,
  kernelBtf: true,
  kconfig: true,
  token: true,
});
const MAP_OPTIONS = keysOf<MapOptions>({ maxEntries: true, reuse: true, create: true, pin: true });

/**
 * A compiled object: what clang makes of a file in C, with libbpf, the field's own loader.
 *
 * {@linkcode open} reads it, {@linkcode load} makes its maps and loads its programs, {@linkcode BpfObject.load} does both.
 * The end of a `using` scope ends everything that came of it: first what was attached, the last first, then its maps and
 * programs. What somebody else holds lives on in the kernel: a pinned map, a program that another link runs. To keep
 * more, pin it, or duplicate it: `Program.fromFd(object.program("count").fd)`.
 *
 * An object needs the trust that its programs need: libbpf's maintainers promise nothing for files that were made to
 * mislead it. Only `--allow-ffi` is needed to read it.
 *
 * It is no place for two tasks at once: while {@linkcode loadAsync} is under way, everything but {@linkcode close} is
 * refused with `Deno.errors.Busy`. An object that is forgotten is closed when it is collected, but never detached.
 *
 * @example
 * ```ts
 * import { BpfObject } from "@bpf/link/object";
 *
 * using object = BpfObject.load("globals.bpf.o", { globals: { limits: { packets: 5, port: 9, enabled: true } } });
 * object.program("use_globals").run({ data: new Uint8Array(64) });
 * console.log(object.globals.packets, object.globals.limits); // 1n { packets: 5, port: 9, enabled: true }
 * ```
 *
 * @typeParam T What is known of the object, as `bpflink gen` writes it; without, its values are `any`.
 */
export class BpfObject<T extends ObjectTypes = UnknownTypes> implements Disposable, AsyncDisposable {
  readonly #handle: ObjectHandle;
  readonly #links = new Set<Attached>(); // in this order
  readonly #attachments: Attachments;
  readonly #programs = new Map<string, Program>();
  readonly #maps = new Map<string, TypedMap>();
  #programRecords: readonly ProgramRecord[] | undefined;
  #mapRecords: readonly MapRecord[] | undefined;
  #btf: Btf | null | undefined; // null: it has none
  #globals: object | undefined;

  private constructor(handle: ObjectHandle) {
    this.#handle = handle;
    this.#attachments = new Attachments({
      handle,
      attached: this.#links,
      programs: () => this.#allPrograms(),
      maps: () => this.#allMaps(),
      program: (name) => this.program(name as ProgramName<T>),
      map: (name) => this.map(name as MapName<T>).map,
    });
  }

  static {
    showAs(BpfObject.prototype, (object) => {
      const { name, closed, loaded } = object;
      const state = closed ? "closed" : object.#handle.isLoading ? "loading" : loaded ? "" : "not loaded";
      return `BpfObject "${name}"${state === "" ? "" : ` (${state})`}`;
    });
  }

  /**
   * Reads an object. Nothing is made in the kernel yet.
   *
   * @param source The path of the file, or its bytes.
   * @param options Which programs, what is to be otherwise of its maps, values of its global variables.
   * @returns The object, to be loaded by {@linkcode load} or {@linkcode loadAsync}.
   * @throws {TypeError} If an option is unknown or of the wrong type, or names what the object does not have.
   * @throws {RangeError} If a number is out of range.
   * @throws {Deno.errors.NotFound} If there is no such file.
   * @throws {BpfError} `invalid` if the file is no object of BPF programs, or is broken.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("globals.bpf.o");
   * console.log(object.name, object.loaded, object.closed); // globals false false
   * object.globals.limits = { packets: 5, port: 9, enabled: true }; // constants, until it is loaded
   * object.load();
   * console.log(object.loaded, object.globals.limits.packets); // true 5
   * ```
   */
  static open<T extends ObjectTypes = UnknownTypes>(
    source: string | URL | ArrayBufferView,
    options: OpenOptions<T> = {},
  ): BpfObject<T> {
    const plan = toPlan(options);
    const { name, bytes } = toBytes(source);
    const object = new BpfObject<T>(ObjectHandle.open(bytes, { name, ...plan.native }));
    try {
      object.#configure(plan);
    } catch (error) {
      object.close();
      throw error;
    }
    return object;
  }

  /**
   * Reads an object, makes its maps and loads its programs.
   *
   * @param source The path of the file, or its bytes.
   * @param options As for {@linkcode open}.
   * @returns The object.
   * @throws As {@linkcode open} and {@linkcode BpfObject.prototype.load}; nothing is left behind then.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o", { maps: { hash: { maxEntries: 1000 } } });
   * console.log(object.map("hash").map.info().maxEntries); // 1000
   * ```
   */
  static load<T extends ObjectTypes = UnknownTypes>(
    source: string | URL | ArrayBufferView,
    options?: OpenOptions<T>,
  ): BpfObject<T> {
    const object = BpfObject.open<T>(source, options);
    try {
      object.load();
    } catch (error) {
      object.close();
      throw error;
    }
    return object;
  }

  /**
   * {@linkcode BpfObject.load} that does not block: large programs take the verifier a while.
   *
   * @param source The path of the file, or its bytes.
   * @param options As for {@linkcode open}.
   * @returns A promise of the object.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * await using object = await BpfObject.loadAsync("maps.bpf.o");
   * console.log(object.loaded); // true
   * ```
   */
  static async loadAsync<T extends ObjectTypes = UnknownTypes>(
    source: string | URL | ArrayBufferView,
    options?: OpenOptions<T>,
  ): Promise<BpfObject<T>> {
    const object = BpfObject.open<T>(source, options);
    try {
      await object.loadAsync();
    } catch (error) {
      object.close();
      throw error;
    }
    return object;
  }

  /**
   * Makes the maps and loads the programs.
   *
   * @throws {TypeError} If it is loaded already.
   * @throws {Deno.errors.BadResource} If it is closed, or could not be loaded before.
   * @throws {Deno.errors.Busy} While {@linkcode loadAsync} is under way.
   * @throws {BpfError} With all that libbpf and the kernel said in `log`: `invalid` if the verifier refuses a program
   * (the message has the line of C, since Linux 6.9 with its number), `unsupported` if this kernel has not what it needs,
   * `mismatch` if a pinned map is another, `capability` if the process lacks one, `policy` if privileges suffice but the
   * kernel refuses this kind of program. Nothing is left in the kernel.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("records.bpf.o");
   * console.log(object.programs.map(({ name }) => name).includes("write_event")); // true
   * object.load();
   * console.log(object.program("write_event").type); // socket_filter
   * ```
   */
  load(): void {
    this.#forget();
    this.#handle.load();
  }

  /**
   * The same on another thread. If the object is closed meanwhile, it is ended as soon as the kernel has answered.
   *
   * @returns A promise that is settled when it is loaded.
   * @throws As {@linkcode load}; `Deno.errors.BadResource` if it was closed meanwhile.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * await using object = BpfObject.open("records.bpf.o");
   * await object.loadAsync();
   * if (object.log !== "") console.warn(object.log);
   * console.log(object.loaded); // true
   * ```
   */
  async loadAsync(): Promise<void> {
    this.#forget();
    await this.#handle.loadAsync();
  }

  /** fds and sizes are others once it is loaded. */
  #forget(): void {
    this.#programRecords = this.#mapRecords = undefined;
  }

  /** The name: that of the file, without `.bpf.o`. */
  get name(): string {
    return this.#handle.name;
  }

  /** Whether it is loaded, and not closed. */
  get loaded(): boolean {
    return this.#handle.isLoaded && !this.closed;
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#handle.isClosed;
  }

  /** What libbpf said that was no reason to fail: warnings, a line each. */
  get log(): string {
    return this.#handle.log;
  }

  /**
   * The programs that the object has, in the order of the file.
   *
   * @throws {Deno.errors.BadResource} If the object is closed.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("upgrade.bpf.o");
   * for (const { name, section } of object.programs) console.log(name, section); // count cgroup_skb/egress
   * ```
   */
  get programs(): readonly ObjectProgram[] {
    return this.#allPrograms().map(({ name, section, type, attachType, isWanted, instructions }) => ({
      name,
      section,
      type,
      ...attachType === undefined ? {} : { attachType },
      load: isWanted,
      instructions,
    }));
  }

  /**
   * The maps that the object has, those of global variables among them.
   *
   * @throws {Deno.errors.BadResource} If the object is closed.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("upgrade.bpf.o");
   * for (const { name, type, valueSize } of object.maps) console.log(name, type, valueSize); // sent array 16
   * ```
   */
  get maps(): readonly ObjectMap[] {
    return this.#allMaps().map((map) => {
      const { name, type, keySize, valueSize, maxEntries, flags, isWanted, pin, isSection } = map;
      return {
        name,
        type,
        keySize,
        valueSize,
        maxEntries,
        flags,
        create: isWanted,
        ...pin === "" ? {} : { pin },
        isSection,
      };
    });
  }

  /**
   * The object's own BTF: its types by name; `undefined` if it was compiled without.
   *
   * @throws {Deno.errors.BadResource} If the object is closed.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.open("records.bpf.o");
   * console.log(object.btf?.find("event")?.kind); // struct
   * ```
   */
  get btf(): Btf | undefined {
    this.#handle.check(() => `Cannot read the BTF of object "${this.name}"`);
    if (this.#btf === undefined) {
      const bytes = this.#handle.btf();
      this.#btf = bytes === undefined ? null : new Btf(bytes);
    }
    return this.#btf ?? undefined;
  }

  /**
   * A program, once the object is loaded.
   *
   * @param name Its name in C.
   * @returns A handle that the object owns: it is closed with it. It knows its attach type, so that `Link.attach` need not
   * be told.
   * @throws {TypeError} If the object has no such program, is not loaded yet, or was told not to load it.
   * @throws {Deno.errors.BadResource} If the object is closed.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("records.bpf.o");
   * const program = object.program("write_event");
   * console.log(program.run({ data: new Uint8Array(64) }).returnValue); // 0
   * ```
   */
  program(name: ProgramName<T>): Program {
    const action = () => `Cannot use program "${name}"`;
    this.#handle.check(action);
    const held = this.#programs.get(name);
    if (held !== undefined && !held.closed) return held;
    const { fd, attachType } = this.#findProgram(name);
    if (!this.loaded) throw new TypeError(`${action()}: object "${this.name}" is not loaded yet; call load() first`);
    if (fd < 0) {
      throw new TypeError(`${action()}: it was not loaded with object "${this.name}"; name it in options.programs`);
    }
    const program = adoptProgram(duplicateFd(fd), attachType);
    this.#programs.set(name, program);
    return program;
  }

  /**
   * A map, once the object is loaded.
   *
   * @param name Its name in C.
   * @returns The map with keys and values as its BTF has them. The object owns it: it is closed with it.
   * @throws {TypeError} If the object has no such map, is not loaded yet, or was told not to make it.
   * @throws {RangeError} If the map has other sizes than the object's BTF says.
   * @throws {Deno.errors.BadResource} If the object is closed.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("maps.bpf.o");
   * const counters = object.map("array");
   * counters.set(0, { packets: 1n, bytes: 64n });
   * console.log(counters.get(0)); // { packets: 1n, bytes: 64n }
   * ```
   */
  map<N extends MapName<T>>(name: N): MapOf<T, N> {
    const action = () => `Cannot use map "${name}"`;
    this.#handle.check(action);
    const held = this.#maps.get(name);
    if (held !== undefined && !held.map.closed) return held as unknown as MapOf<T, N>;
    const record = this.#allMaps()[this.#findMap(name)]!;
    if (!this.loaded) throw new TypeError(`${action()}: object "${this.name}" is not loaded yet; call load() first`);
    if (record.fd < 0) {
      throw new TypeError(`${action()}: it was not made with object "${this.name}": options.maps said so`);
    }
    const raw = BpfMap.fromFd(record.fd);
    try {
      const { isSection, inner } = record, { btf } = this;
      const map = new TypedMap(raw, { name, object: this.name, definition: record, inner, isSection, btf });
      this.#maps.set(name, map);
      return map as unknown as MapOf<T, N>;
    } catch (error) {
      raw.close();
      throw error;
    }
  }

  /**
   * The global variables by name: in the memory that programs use, so what one wrote is seen by the other at once.
   *
   * Numbers of up to 64 bits are read and written in one piece. Structs and arrays are frozen copies: to change a member,
   * assign a changed copy; what programs write to it meanwhile may be lost. Constants (`const volatile` in C, `.rodata`)
   * can be written until the object is loaded; those of the kernel's configuration (`.kconfig`) never, and they are
   * `undefined` until then. Static variables are not there.
   *
   * Reading or writing a name that is none is a TypeError that lists those that are.
   *
   * @throws {Deno.errors.BadResource} If the object is closed, also when a variable is read or written.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("globals.bpf.o");
   * object.globals.packets = 41n;
   * object.program("use_globals").run({ data: new Uint8Array(64) });
   * console.log(object.globals.packets); // 42n
   * ```
   */
  get globals(): Globals<T> {
    return (this.#globals ??= globalsOf(this.#handle, this.btf, this.#allMaps())) as Globals<T>;
  }

  /**
   * Attaches a program to what its section names, as libbpf 1.7 does, or a map of `SEC(".struct_ops.link")`. It ends with
   * its object, or before: see {@linkcode Link}.
   *
   * What the section leaves open, an interface in `SEC("xdp")` or a cgroup in `SEC("cgroup/connect4")`, is asked for by a
   * TypeError that shows how. `overrides` may also say otherwise than the section, or more: `position`, `netns`, `cookie`,
   * `signal`. In words: `{ device: "eth0" }`, `{ cgroup: "/sys/fs/cgroup/web" }`, `{ map: "sockets" }` with the name of a map
   * of this object, `{ path: "libc.so.6", symbol: "malloc" }`. `SEC("tc")` names no direction:
   * `{ device: "eth0", direction: "ingress" }`. An executable that a section names without its directory, as
   * `SEC("uprobe/bash:readline")`, is looked for where executables are.
   *
   * USDT probes (`SEC("usdt/PATH:PROVIDER:NAME")`) are found by libbpf. Before Linux 6.6 they are no link of the kernel but
   * several; then a {@linkcode UsdtProbe} is returned, which ends in the same ways.
   *
   * @param name The program's name in C, or that of the struct_ops map.
   * @param overrides What the section leaves open, or what is to be otherwise.
   * @returns The link, to be held with `using`; with the object it ends in any case.
   * @throws {TypeError} If the object has no such program, or it is not loaded; if something is left open, a field is
   * unknown or of the wrong type, or programs of the section have no links: the message says what they have instead.
   * @throws {RangeError} If a number is out of range.
   * @throws {Deno.errors.BadResource} If the object is closed.
   * @throws {BpfError} If the kernel refuses; `reason`, `code` and `hint` say why.
   * @throws The reason of `overrides.signal` if it is aborted already; nothing is attached then.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("attach.bpf.o", { programs: ["tc_ingress", "sk_lookup"] });
   * using lookup = object.attach("sk_lookup"); // in this network namespace
   * using ingress = object.attach("tc_ingress", { device: "lo", position: "first" });
   * console.log(lookup.info(), ingress.info());
   * ```
   */
  attach<K extends TargetType>(
    name: ProgramName<T> | MapName<T>,
    overrides: AttachOverrides & { type: K },
  ): LinkOf<K>;
  /** Attaches a program of `SEC("usdt")`, whose probe is a {@linkcode Link} since Linux 6.6. */
  attach(name: ProgramName<T>, overrides: UsdtOverrides): AnyLink | UsdtProbe;
  /** Attaches a program to what its section says. */
  attach(name: ProgramName<T> | MapName<T>, overrides?: AttachOverrides): AnyLink;
  attach(name: ProgramName<T> | MapName<T>, overrides: AttachOverrides = {}): Attached {
    return this.#attachments.attach(name, overrides);
  }

  /**
   * {@linkcode attach} without blocking the event loop: for xdp, tcx and netkit, which wait milliseconds for the kernel.
   * USDT probes and struct_ops are attached at once.
   *
   * @param name As {@linkcode attach}.
   * @param overrides As {@linkcode attach}. If the signal is aborted meanwhile, the promise rejects with its reason and
   * nothing is left.
   * @returns A promise of the link, to be held with `await using`. It rejects with what {@linkcode attach} throws, and with
   * `Deno.errors.BadResource` if the object is closed meanwhile: nothing is left then.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * await using object = await BpfObject.loadAsync("attach.bpf.o", { programs: ["xdp"] });
   * await using link = await object.attachAsync("xdp", { device: "lo", mode: "generic" });
   * console.log(link.info());
   * ```
   */
  attachAsync<K extends TargetType>(
    name: ProgramName<T> | MapName<T>,
    overrides: AttachOverrides & { type: K },
  ): Promise<LinkOf<K>>;
  /** Attaches a program of `SEC("usdt")`. */
  attachAsync(name: ProgramName<T>, overrides: UsdtOverrides): Promise<AnyLink | UsdtProbe>;
  /** Attaches a program to what its section says. */
  attachAsync(name: ProgramName<T> | MapName<T>, overrides?: AttachOverrides): Promise<AnyLink>;
  async attachAsync(name: ProgramName<T> | MapName<T>, overrides: AttachOverrides = {}): Promise<Attached> {
    return await this.#attachments.attachAsync(name, overrides);
  }

  /**
   * Attaches every program that is loaded and every map of `SEC(".struct_ops.link")`, in the object's order: all or none.
   *
   * Programs of sections without links (`socket`, `syscall`, `xdp/devmap`, ...) are passed over. What a section leaves open
   * must be said; `false` leaves one out, such as a program that others call by `bpf_tail_call`.
   *
   * @param overrides Overrides by the name of a program or map, as {@linkcode attach} takes them, or `false`.
   * @param options What the end of the group does, and a signal that ends it; they apply to every link.
   * @returns The links, which end as a whole; {@linkcode UsdtProbe}s are not among them and end with them.
   * @throws {TypeError} If something is left open or unknown: before anything is attached.
   * @throws {Deno.errors.BadResource} If the object is closed.
   * @throws {AggregateError} If one cannot be attached: why, and what failed when the others were detached.
   * @throws The reason of `options.signal` if it is aborted already.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("attach.bpf.o", { programs: ["sk_lookup", "tc_ingress", "xdp"] });
   * using links = object.attachAll({ tc_ingress: { device: "lo" }, xdp: false });
   * for (const link of links) console.log(link.info());
   * ```
   */
  attachAll(
    overrides: { readonly [N in ProgramName<T> | MapName<T>]?: AttachOverrides | false | undefined } = {},
    options?: AttachOptions,
  ): LinkGroup {
    return this.#attachments.attachAll(overrides, options);
  }

  /**
   * {@linkcode attachAll} without blocking the event loop.
   *
   * @param overrides As {@linkcode attachAll}.
   * @param options As {@linkcode attachAll}. If the signal is aborted meanwhile, the promise rejects with its reason and
   * nothing is left.
   * @returns A promise of the links, to be held with `await using`.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * await using object = await BpfObject.loadAsync("attach.bpf.o", { programs: ["sk_lookup", "xdp"] });
   * await using links = await object.attachAllAsync({ xdp: { device: "lo", mode: "generic" } });
   * console.log(Array.from(links, ({ type }) => type).sort()); // [ "netns", "xdp" ]
   * ```
   */
  async attachAllAsync(
    overrides: { readonly [N in ProgramName<T> | MapName<T>]?: AttachOverrides | false | undefined } = {},
    options?: AttachOptions,
  ): Promise<LinkGroup> {
    return await this.#attachments.attachAllAsync(overrides, options);
  }

  /**
   * Makes sure that a program is attached to what its section names, and pinned: `Link.ensurePinned` for a program of this
   * object, to be deployed again and again. Another run puts its program into the link that is pinned, without a gap.
   *
   * The link outlives the object and the process. So do maps that are pinned (`maps` of {@linkcode OpenOptions}), by which
   * the next version goes on with what this one counted.
   *
   * @param path The pin, on a bpf file system. Its name may have no dot.
   * @param name The program's name in C.
   * @param overrides As {@linkcode attach}, but for `signal` and `onClose`.
   * @param options Whether a link that is attached to something else is ended, how long to wait for the lock of the
   * directory, and whether to make directories that are missing.
   * @returns The link, opened from its pin, and what was done. Its handle is closed with the object; the link stays.
   * @throws {TypeError} As {@linkcode attach}; and for USDT probes and struct_ops, whose links are made by libbpf: use
   * {@linkcode attach} and `pin` of the link.
   * @throws {RangeError} If a number is out of range.
   * @throws {Deno.errors.BadResource} If the object is closed.
   * @throws {BpfError} As `Link.ensurePinned`.
   *
   * @example
   * ```ts
   * import { makeCgroup } from "@bpf/link";
   * import { BpfObject } from "@bpf/link/object";
   *
   * using cgroup = makeCgroup("/sys/fs/cgroup/web");
   * for (const wanted of ["created", "updated"]) { // as by two runs
   *   using object = BpfObject.load("upgrade.bpf.o", { maps: { sent: { pin: "/sys/fs/bpf/quota/sent" } } });
   *   using ensured = object.ensurePinned("/sys/fs/bpf/quota/count", "count", { cgroup: cgroup.path });
   *   console.log(ensured.outcome === wanted, object.map("sent").get(0)); // true { packets: 0n, bytes: 0n }
   *   if (ensured.outcome === "updated") ensured.link.unpin();
   * }
   * ```
   */
  ensurePinned(
    path: string | URL,
    name: ProgramName<T>,
    overrides: AttachOverrides = {},
    options?: EnsureOptions,
  ): EnsuredLink {
    return this.#attachments.ensurePinned(path, name, overrides, options);
  }

  /**
   * {@linkcode ensurePinned} that waits for the lock without blocking the event loop.
   *
   * @param path As {@linkcode ensurePinned}.
   * @param name As {@linkcode ensurePinned}.
   * @param overrides As {@linkcode ensurePinned}.
   * @param options As {@linkcode ensurePinned}, and a signal that ends the wait: nothing is changed then.
   * @returns A promise of the link and what was done. It rejects with what {@linkcode ensurePinned} throws, with the
   * signal's reason, and with `Deno.errors.BadResource` if the object is closed before it has the lock: nothing is changed
   * then.
   *
   * @example
   * ```ts
   * import { makeCgroup } from "@bpf/link";
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("upgrade.bpf.o");
   * using cgroup = makeCgroup("/sys/fs/cgroup/web");
   * const place = { cgroup: cgroup.path }, signal = AbortSignal.timeout(10_000);
   * const { outcome, link } = await object.ensurePinnedAsync("/sys/fs/bpf/count", "count", place, { signal });
   * console.log(outcome, link.onClose); // created keep
   * link.unpin();
   * ```
   */
  async ensurePinnedAsync(
    path: string | URL,
    name: ProgramName<T>,
    overrides: AttachOverrides = {},
    options?: EnsureAsyncOptions,
  ): Promise<EnsuredLink> {
    return await this.#attachments.ensurePinnedAsync(path, name, overrides, options);
  }

  /**
   * Ends all that came of the object: what was attached, the last first, then its maps and programs. Twice does nothing.
   *
   * @throws What the end of a link throws; everything else is ended all the same.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * const object = BpfObject.load("maps.bpf.o");
   * const map = object.map("array");
   * object.close(); // what `using` does
   * console.log(object.closed, map.map.closed); // true true
   * ```
   */
  close(): void {
    this.#handle.close(); // nothing can be made any more
    using end = new DisposableStack();
    end.defer(() => this.#handle.free());
    for (const map of this.#maps.values()) end.use(map);
    for (const program of this.#programs.values()) end.use(program);
    for (const link of this.#links) end.use(link);
    this.#links.clear();
  }

  /**
   * {@linkcode close} that does not block: links of some types take milliseconds to end.
   *
   * @returns A promise that is settled when all is ended, also a load that was under way.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * const object = await BpfObject.loadAsync("attach.bpf.o", { programs: ["xdp"] });
   * const link = await object.attachAsync("xdp", { device: "lo", mode: "generic" });
   * await object.closeAsync(); // what `await using` does
   * console.log(object.closed, link.closed); // true true
   * ```
   */
  async closeAsync(): Promise<void> {
    this.#handle.close();
    await using end = new AsyncDisposableStack();
    end.defer(async () => {
      await this.#handle.settled();
      this.#handle.free();
    });
    for (const map of this.#maps.values()) end.use(map);
    for (const program of this.#programs.values()) end.use(program);
    for (const link of this.#links) end.use(link);
    this.#links.clear();
  }

  /** {@linkcode close}, at the end of a `using` scope. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** {@linkcode closeAsync}, at the end of an `await using` scope. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.closeAsync();
  }

  /**
   * What `JSON.stringify` takes.
   *
   * @returns Its name, programs and maps; of a closed object its name, with `closed: true`.
   */
  toJSON(): Record<string, unknown> {
    const { name } = this;
    if (this.closed) return { name, closed: true };
    return { name, loaded: this.loaded, programs: this.programs, maps: this.maps };
  }

  #allPrograms(): readonly ProgramRecord[] {
    this.#handle.check(() => `Cannot list programs of object "${this.name}"`);
    return this.#programRecords ??= this.#handle.programs();
  }

  #allMaps(): readonly MapRecord[] {
    this.#handle.check(() => `Cannot list maps of object "${this.name}"`);
    return this.#mapRecords ??= this.#handle.maps();
  }

  #findProgram(name: string): ProgramRecord & { readonly index: number } {
    const all = this.#allPrograms(), index = all.findIndex((program) => program.name === name);
    if (index >= 0) return { ...all[index]!, index };
    throw noSuchName(`object "${this.name}"`, "program", name, all.map((program) => program.name));
  }

  /** The index of a map; a section of global variables may be called by its name, `.bss`. */
  #findMap(name: string): number {
    const all = this.#allMaps();
    const index = all.findIndex((map) =>
      map.name === name || (map.isSection && map.name.endsWith(name) && name[0] === ".")
    );
    if (index >= 0) return index;
    throw noSuchName(`object "${this.name}"`, "map", name, all.map((map) => map.name));
  }

  #configure({ programs, attachTo, maps, globals }: Plan): void {
    if (programs !== undefined) {
      const wanted = new Set(programs.map((name) => this.#findProgram(name).index));
      this.#allPrograms().forEach((_, index) => this.#set(settings.AUTOLOAD, index, Number(wanted.has(index))));
    }
    for (const [name, { fd, symbol }] of attachTo) {
      const { index } = this.#findProgram(name);
      try {
        this.#set(settings.ATTACH_TARGET, index, fd, symbol);
      } catch (error) {
        throw error instanceof BpfError ? noFunction(error, name, fd, symbol) : error;
      }
    }
    for (const [name, options] of maps) this.#configureMap(name, options);
    this.#forget();
    for (const [name, value] of globals) (this.globals as Record<string, unknown>)[name] = value;
  }

  #set(setting: number, index: number, number: number, text?: string): void {
    this.#handle.set(setting, index, number, text);
  }

  #configureMap(name: string, { maxEntries, reuse, create, pin }: MapPlan): void {
    const index = this.#findMap(name), record = this.#allMaps()[index]!;
    if (maxEntries !== undefined) {
      if (record.isSection) {
        throw new TypeError(`options.maps["${name}"].maxEntries cannot be: it is a section of global variables`);
      }
      this.#set(settings.MAX_ENTRIES, index, maxEntries);
    }
    if (reuse !== undefined) {
      checkFits(name, record, reuse);
      this.#set(settings.REUSE_FD, index, reuse.fd);
    }
    if (create !== undefined) this.#set(settings.AUTOCREATE, index, Number(create));
    if (pin !== undefined) this.#set(settings.PIN_PATH, index, 0, pin);
  }
}

/** Options that were checked, but for names. */
interface Plan {
  readonly native: {
    readonly pinDirectory: string | undefined;
    readonly kernelBtf: string | undefined;
    readonly kconfig: string | undefined;
    readonly token: string | undefined;
  };
  readonly programs: readonly string[] | undefined;
  readonly attachTo: readonly (readonly [name: string, target: { readonly fd: number; readonly symbol: string }])[];
  readonly maps: readonly (readonly [name: string, options: MapPlan])[];
  readonly globals: readonly (readonly [name: string, value: unknown])[];
}

interface MapPlan {
  readonly maxEntries: number | undefined;
  readonly reuse: BpfMap | undefined;
  readonly create: boolean | undefined;
  readonly pin: string | undefined;
}

function toPlan(options: OpenOptions): Plan {
  checkKeys(options, "options", OPTIONS);
  const { programs, kconfig } = options;
  if (programs !== undefined && !Array.isArray(programs)) {
    throw new TypeError(`options.programs must be an array of names, not ${kindOf(programs)}`);
  }
  const path = (value: string | URL | undefined, name: string) =>
    value === undefined ? undefined : checkPath(value, `options.${name}`);
  return {
    native: {
      pinDirectory: path(options.pinDirectory, "pinDirectory"),
      kernelBtf: path(options.kernelBtf, "kernelBtf"),
      kconfig: kconfig === undefined ? undefined : checkString(kconfig, "options.kconfig"),
      token: path(options.token, "token"),
    },
    programs: programs?.map((name, i) => checkString(name, `options.programs[${i}]`)),
    attachTo: entriesOf(options.attachTo, "attachTo").map(([name, to]) => [name, toFunction(name, to)]),
    maps: entriesOf(options.maps, "maps").map(([name, map]) => [name, toMapPlan(name, map)]),
    globals: entriesOf(options.globals, "globals"),
  };
}

/** What an option says by name. */
function entriesOf(value: unknown, option: string): [name: string, value: unknown][] {
  if (value === undefined) return [];
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`options.${option} must be an object, not ${kindOf(value)}`);
  }
  return Object.entries(value).filter(([, each]) => each !== undefined);
}

/** A function of the kernel has no fd; libbpf takes 0 for that. */
function toFunction(program: string, to: unknown): { fd: number; symbol: string } {
  const name = `options.attachTo["${program}"]`;
  if (typeof to === "string") return { fd: 0, symbol: checkString(to, name) };
  checkKeys(to, name, ["program", "symbol"]);
  const { program: other, symbol } = to as FunctionOf;
  checkHandle(other, "program", `${name}.program`);
  return { fd: other.fd, symbol: symbol === undefined ? "" : checkString(symbol, `${name}.symbol`) };
}

function toMapPlan(map: string, options: unknown): MapPlan {
  const name = `options.maps["${map}"]`;
  checkKeys(options, name, MAP_OPTIONS);
  const { maxEntries, reuse, create, pin } = options as MapOptions;
  checkFlag(create, `${name}.create`);
  if (maxEntries !== undefined && checkU32(maxEntries, `${name}.maxEntries`) === 0) {
    throw new RangeError(`${name}.maxEntries must be at least 1`);
  }
  const raw = reuse instanceof TypedMap ? reuse.map : reuse;
  if (raw !== undefined) checkHandle(raw, "map", `${name}.reuse`);
  return { maxEntries, reuse: raw, create, pin: pin === undefined ? undefined : checkPath(pin, `${name}.pin`) };
}

/** libbpf takes any map; the object's programs and types are for one like that it declares. */
function checkFits(name: string, record: MapRecord, reuse: BpfMap): void {
  const info = reuse.info();
  const differences = (["type", "keySize", "valueSize"] as const).filter((field) => info[field] !== record[field])
    .map((field) => `${field} ${info[field]}, not ${record[field]}`);
  if (differences.length === 0) return;
  throw new BpfError(EEXIST, {
    action: `Cannot use map ${info.id} as "${name}"`,
    command: "OBJ_GET_INFO_BY_FD",
    reason: "mismatch",
    meaning: `it has ${differences.join(", ")}`,
    hint: "give one like that the object declares",
  });
}

/** What a program is to be for is not there, which libbpf says in a number alone. */
function noFunction(error: BpfError, program: string, fd: number, symbol: string): BpfError {
  if (error.code !== "ESRCH" && error.code !== "ENOENT") return error;
  return new BpfError(error.errno, {
    action: `Cannot choose what program "${program}" is for`,
    command: error.command,
    reason: "gone",
    meaning: fd === 0 ? `this kernel has no "${symbol}"` : `that program has no function "${symbol}" in its BTF`,
    hint: "check the name",
  });
}
