/** Attaching the programs and the maps of struct_ops of an object: what their sections say becomes links. */
import { checkInteger, checkKeys, checkString, checkU64, keysOf, kindOf, printable } from "../check.ts";
import type { EnsureAsyncOptions, EnsuredLink, EnsureOptions } from "../ensure_pinned.ts";
import { BpfError, type Explanation } from "../error.ts";
import { attachAll, attachAllAsync, type LinkGroup } from "../group.ts";
import { isHandle } from "../handle/brand.ts";
import type { AttachOptions } from "../kind/attach.ts";
import type { AttachTarget } from "../kind/mod.ts";
import { fileOf } from "../kind/target.ts";
import { numbers } from "../ffi/object/symbols.ts";
import { adoptLink, type AnyLink, checkOptions, Link } from "../link.ts";
import type { BpfMap } from "../map.ts";
import { exists, isLibraryName, placesOf } from "../os/libraries.ts";
import type { Program } from "../program.ts";
import { BPF_F_LINK } from "../uapi/constants.ts";
import { onAbort } from "../wait.ts";
import type { KeptLink, MapRecord, ObjectHandle, ProgramRecord } from "./handle.ts";
import { noSuchName } from "./names.ts";
import { type AttachOverrides, hasLinks, LeftOpenError, targetFor, type UsdtTarget } from "./sections.ts";
import { TypedMap } from "./typed_map.ts";

/** What attaching needs of an object. */
export interface Host {
  readonly handle: ObjectHandle;
  /** What ends with the object, the last first. */
  readonly attached: Set<Attached>;
  programs(): readonly ProgramRecord[];
  maps(): readonly MapRecord[];
  /** A loaded program. */
  program(name: string): Program;
  /** A map that was made. */
  map(name: string): BpfMap;
}

/** What attaching a program of an object gives. */
export type Attached = AnyLink | UsdtProbe;

/**
 * A USDT probe that is attached where the kernel has no link for several places: before Linux 6.6. From then on it is a
 * {@linkcode Link} of type uprobe_multi.
 *
 * It ends when it is closed, with its scope, and with its object.
 *
 * @example
 * ```ts
 * import { BpfObject, UsdtProbe } from "@bpf/link/object";
 *
 * using object = BpfObject.load("usdt_probe.bpf.o");
 * using probe = object.attach("on_probe", { path: "./probed", provider: "demo", name: "step" });
 * // before Linux 6.6 it is no link
 * console.log(probe instanceof UsdtProbe ? probe.target : probe.type); // uprobe_multi
 * ```
 */
export class UsdtProbe implements Disposable, AsyncDisposable {
  /** What tells it from links. */
  readonly type: "usdt" = "usdt";
  /** Where it is attached. */
  readonly target: Readonly<UsdtTarget>;
  /** It ends when it is closed: there is nothing that could outlive it. */
  readonly onClose: "detach" = "detach";
  readonly #kept: Disposable;
  readonly #abort: Disposable | undefined;
  #closed = false;

  /**
   * Called by the package.
   *
   * @param kept What ends it.
   * @param target Where it is attached.
   * @param signal Ends it when it is aborted.
   */
  constructor(kept: Disposable, target: UsdtTarget, signal: AbortSignal | undefined) {
    this.#kept = kept;
    this.target = target;
    this.#abort = onAbort(signal, () => this.close());
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Ends it; twice does nothing.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("usdt_probe.bpf.o");
   * const probe = object.attach("on_probe", { path: "./probed", provider: "demo", name: "step" });
   * probe.close(); // what `using` does
   * console.log(probe.closed); // true
   * ```
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#abort?.[Symbol.dispose]();
    this.#kept[Symbol.dispose]();
  }

  /**
   * {@linkcode close}, which takes some milliseconds for each of its places: the kernel has no other way.
   *
   * @returns A promise that is settled when it is closed.
   *
   * @example
   * ```ts
   * import { BpfObject } from "@bpf/link/object";
   *
   * using object = BpfObject.load("usdt_probe.bpf.o");
   * const probe = object.attach("on_probe", { path: "./probed", provider: "demo", name: "step" });
   * await probe.closeAsync(); // what `await using` does
   * console.log(probe.closed); // true
   * ```
   */
  // deno-lint-ignore require-await
  async closeAsync(): Promise<void> {
    this.close();
  }

  /** {@linkcode close}, at the end of a `using` scope. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** {@linkcode closeAsync}, at the end of an `await using` scope. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.closeAsync();
  }
}

/** Something of an object that is to be attached, checked. */
type Plan =
  & { readonly name: string; readonly options: AttachOptions }
  & (
    | { readonly target: AttachTarget }
    | { readonly index: number; readonly usdt: UsdtTarget }
    | { readonly index: number; readonly map: MapRecord }
  );

const { links } = numbers;

/** How many are attached when those that are closed are forgotten for the first time. */
const SOME = 64;

/** What is attached of an object. */
export class Attachments {
  readonly #host: Host;
  #enough = SOME;
  /** Links of USDT probes, and what gives their places in libbpf's map back. */
  readonly #usdt = new Map<AnyLink, Disposable>();

  constructor(host: Host) {
    this.#host = host;
  }

  attach(name: string, overrides: AttachOverrides): Attached {
    return this.#make(this.#plan(name, overrides), {});
  }

  async attachAsync(name: string, overrides: AttachOverrides): Promise<Attached> {
    return await this.#makeAsync(this.#plan(name, overrides), {});
  }

  attachAll(overrides: OverridesByName, options: AttachOptions | undefined): LinkGroup {
    const plans = this.#planAll(overrides), make = (plan: Plan, each: AttachOptions) => this.#make(plan, each);
    return asLinks(attachAll(make, plans, checkOptions(options), (i) => `"${plans[i]!.name}"`));
  }

  async attachAllAsync(overrides: OverridesByName, options: AttachOptions | undefined): Promise<LinkGroup> {
    const plans = this.#planAll(overrides), make = (plan: Plan, each: AttachOptions) => this.#makeAsync(plan, each);
    return asLinks(await attachAllAsync(make, plans, checkOptions(options), (i) => `"${plans[i]!.name}"`));
  }

  ensurePinned(
    path: string | URL,
    name: string,
    overrides: AttachOverrides,
    options: EnsureOptions | undefined,
  ): EnsuredLink {
    const { program, target } = this.#planPinned(name, overrides);
    try {
      return this.#keepPinned(Link.ensurePinned(path, program, target, options));
    } catch (error) {
      throw named(error, program, name);
    }
  }

  async ensurePinnedAsync(
    path: string | URL,
    name: string,
    overrides: AttachOverrides,
    options: EnsureAsyncOptions | undefined,
  ): Promise<EnsuredLink> {
    const { program, target } = this.#planPinned(name, overrides);
    try {
      return this.#keepPinned(await Link.ensurePinnedAsync(path, program, target, options));
    } catch (error) {
      throw named(error, program, name);
    }
  }

  /** What is to outlive the object: a link of the kernel, which another process can take over. */
  #planPinned(name: string, overrides: AttachOverrides): { program: Program; target: AttachTarget } {
    for (const option of OPTIONS) {
      if (overrides[option as keyof AttachOptions] !== undefined) {
        throw new TypeError(`overrides.${option} cannot be: what is pinned outlives its handle`);
      }
    }
    const plan = this.#plan(name, overrides);
    if ("target" in plan) return { program: this.#host.program(name), target: plan.target };
    throw new TypeError(
      `Cannot attach "${name}" by ensurePinned: libbpf attaches ${
        "usdt" in plan ? "USDT probes" : "maps of struct_ops"
      }; use attach() and pin() of its link`,
    );
  }

  #keepPinned(ensured: EnsuredLink): EnsuredLink {
    this.#keep(ensured.link as AnyLink);
    return ensured;
  }

  #plan(name: string, overrides: AttachOverrides): Plan {
    const { handle } = this.#host;
    handle.check(() => `Cannot attach "${name}"`);
    const programs = this.#host.programs(), maps = this.#host.maps();
    const program = programs.find((program) => program.name === name);
    if (program !== undefined) return this.#planProgram(program, programs.indexOf(program), overrides);
    const map = maps.find((map) => map.name === name && map.type === "struct_ops");
    if (map !== undefined) return planMap(map, maps.indexOf(map), overrides);
    const all = [...programs, ...maps.filter(({ type }) => type === "struct_ops")].map(({ name }) => name);
    throw noSuchName(`object "${handle.name}"`, "program or struct_ops map", name, all);
  }

  #planProgram(record: ProgramRecord, index: number, overrides: AttachOverrides): Plan {
    const { name } = record, sockets = this.#host.maps().find(({ type }) => type.startsWith("sock"));
    const target = targetFor(record, overrides, sockets?.name);
    const options = checkOptions(optionsOf(overrides));
    if (record.fd < 0) throw notLoaded(`program "${name}"`, this.#host.handle, record.isWanted);
    if (target.type === "usdt") return { name, options, index, usdt: checkUsdt(target, record.section, overrides) };
    if ("map" in target) target.map = this.#mapOf(target.map);
    if ("path" in target && overrides.type === undefined) target.path = executable(target.path, overrides);
    return { name, options, target };
  }

  #mapOf(map: unknown): BpfMap {
    if (typeof map === "string") return this.#host.map(map);
    return map instanceof TypedMap ? map.map : map as BpfMap;
  }

  /** All that is loaded and that the object wants to be attached, in its order, as libbpf's skeletons do. */
  #planAll(overrides: OverridesByName): Plan[] {
    const { handle } = this.#host;
    handle.check(() => `Cannot attach object "${handle.name}"`);
    if (typeof overrides !== "object" || overrides === null) checkKeys(overrides, "overrides", []);
    const programs = this.#host.programs(), maps = this.#host.maps();
    const names = [...programs, ...maps.filter(({ type }) => type === "struct_ops")].map(({ name }) => name);
    for (const [name, given] of Object.entries(overrides)) {
      if (!names.includes(name)) throw noSuchName(`object "${handle.name}"`, "program or struct_ops map", name, names);
      if (given !== undefined && given !== false && (typeof given !== "object" || given === null)) {
        throw new TypeError(`overrides.${name} must be an object, or false to leave it out, not ${kindOf(given)}`);
      }
    }
    if (!handle.isLoaded) throw notLoaded(`object "${handle.name}"`, handle, true);
    const plans: Plan[] = [], open: LeftOpenError[] = [];
    programs.forEach((program, index) => {
      const given = overrides[program.name];
      if (given === false) return;
      const isMeant = given !== undefined || (program.fd >= 0 && program.isAttachable && hasLinks(program.section));
      if (!isMeant) return;
      try {
        plans.push(this.#planProgram(program, index, given ?? {}));
      } catch (error) {
        if (!(error instanceof LeftOpenError)) throw error;
        open.push(error);
      }
    });
    maps.forEach((map, index) => {
      const given = overrides[map.name];
      if (map.type !== "struct_ops" || given === false || (given === undefined && map.fd < 0)) return;
      plans.push(planMap(map, index, given ?? {}));
    });
    if (open.length > 0) throw allOpen(handle.name, open);
    return plans;
  }

  #make(plan: Plan, general: AttachOptions): Attached {
    const options = { ...general, ...plan.options };
    if (!("target" in plan)) return this.#keep(this.#makeByLibbpf(plan, options));
    const program = this.#host.program(plan.name);
    try {
      return this.#keep(Link.attach(program, plan.target, options) as AnyLink);
    } catch (error) {
      throw named(error, program, plan.name);
    }
  }

  async #makeAsync(plan: Plan, general: AttachOptions): Promise<Attached> {
    const options = { ...general, ...plan.options };
    if (!("target" in plan)) return this.#keep(this.#makeByLibbpf(plan, options));
    const program = this.#host.program(plan.name);
    let link: AnyLink;
    try {
      link = await Link.attachAsync(program, plan.target, options) as AnyLink;
    } catch (error) {
      throw named(error, program, plan.name);
    }
    if (!this.#host.handle.isClosed) return this.#keep(link);
    await link.closeAsync();
    throw new Deno.errors.BadResource(`Cannot attach program "${plan.name}": its object was closed meanwhile`);
  }

  /** What libbpf alone knows how to attach. */
  #makeByLibbpf(plan: Exclude<Plan, { target: AttachTarget }>, options: AttachOptions): Attached {
    const { handle } = this.#host, { index, name } = plan;
    options.signal?.throwIfAborted();
    if ("usdt" in plan) {
      const { usdt } = plan, { provider, path } = usdt;
      for (const [link, kept] of this.#usdt) {
        if (!link.closed) continue;
        this.#usdt.delete(link);
        if (link.onClose === "detach") kept[Symbol.dispose](); // the places of one that is pinned stay taken
      }
      const action = `Cannot attach program "${name}" to USDT probe ${provider}:${usdt.name} of "${path}"`;
      const kept = usdtFound(usdt, () => handle.attach(links.USDT, index, usdtRequest(usdt), action) as KeptLink);
      const fd = kept.takeFd();
      if (fd === undefined) return new UsdtProbe(kept, usdt, options.signal);
      const link: AnyLink = adoptLink(fd, "uprobe_multi", options);
      this.#usdt.set(link, kept);
      return link;
    }
    const action = `Cannot attach struct_ops map "${name}"`;
    return adoptLink(handle.attach(links.STRUCT_OPS, index, new Uint8Array(), action) as number, "struct_ops", options);
  }

  /** Remembers what ends with the object. */
  #keep<A extends Attached>(attached: A): A {
    const { attached: all } = this.#host;
    if (all.size >= this.#enough) {
      for (const each of all) if (each.closed) all.delete(each);
      this.#enough = Math.max(SOME, 2 * all.size);
    }
    all.add(attached);
    return attached;
  }
}

/** All that is left open, with what would say it; of the first program, for callers that go on from it. */
function allOpen(object: string, open: readonly LeftOpenError[]): LeftOpenError {
  const [{ program, fields, example }] = open as [LeftOpenError];
  const which = open.map(({ program, fields }) => `program "${program.name}" leaves open ${fields.join(" and ")}`);
  const asked = open.map(({ program, example }) => `${program.name}: ${example}`).join(", ");
  const message = `Cannot attach object "${object}": ${which.join(", ")}: object.attachAll({ ${asked} })`;
  return new LeftOpenError(message, program, fields, example);
}

/** Overrides by the name of a program or of a struct_ops map; false leaves it out. */
export type OverridesByName = { readonly [name: string]: AttachOverrides | false | undefined };

const OPTIONS = keysOf<AttachOptions>({ signal: true, onClose: true });

function optionsOf(overrides: AttachOverrides): AttachOptions {
  const { signal, onClose } = overrides;
  return { ...signal === undefined ? {} : { signal }, ...onClose === undefined ? {} : { onClose } };
}

function planMap(map: MapRecord, index: number, overrides: AttachOverrides): Plan {
  const { name } = map;
  checkKeys(overrides, "overrides", ["type", ...OPTIONS]);
  if (overrides.type !== undefined && overrides.type !== "struct_ops") {
    throw new TypeError(`overrides.type must be "struct_ops" for map "${name}", not "${overrides.type}"`);
  }
  const options = checkOptions(optionsOf(overrides));
  if ((map.flags & BPF_F_LINK) === 0) {
    throw new TypeError(
      `Cannot attach struct_ops map "${name}": its section makes no link: write SEC(".struct_ops.link")`,
    );
  }
  if (map.fd < 0) throw new TypeError(`Cannot attach struct_ops map "${name}": it is not loaded`);
  return { name, options, index, map };
}

function notLoaded(what: string, handle: ObjectHandle, isWanted: boolean): TypeError {
  return new TypeError(
    `Cannot attach ${what}: ${
      handle.isLoaded || !isWanted
        ? "it was left out of the load; name it in options.programs"
        : "the object is not loaded; call load() first"
    }`,
  );
}

function checkUsdt(target: UsdtTarget, section: string, overrides: AttachOverrides): UsdtTarget {
  const { provider, name, pid, cookie } = target;
  if (!/^\??usdt(\.s)?(\/|$)/.test(section)) {
    throw new TypeError(`a target of type usdt takes a program of SEC("usdt"), not of SEC("${printable(section)}")`);
  }
  checkString(provider, "overrides.provider");
  checkString(name, "overrides.name");
  if (pid !== undefined) checkInteger(pid, "overrides.pid", 1, 0x7fffffff);
  if (cookie !== undefined) checkU64(cookie, "overrides.cookie");
  const path = fileOf(executable(target.path, overrides), pid);
  return { ...target, path: path.includes("/") ? path : `./${path}` }; // which libbpf would look for elsewhere
}

/** An executable that a section names without its directory is looked for, as libbpf does; a path of the caller is one. */
function executable(path: string | URL, overrides: AttachOverrides): string | URL {
  const isGiven = "path" in overrides && overrides.path !== undefined;
  if (isGiven || typeof path !== "string" || path.includes("/") || isLibraryName(path)) return path;
  return placesOf(path).find((place) => place.startsWith("/") && exists(place)) ?? path;
}

const encoder = new TextEncoder();

function usdtRequest({ path, provider, name, pid = -1, cookie = 0n }: UsdtTarget): Uint8Array<ArrayBuffer> {
  const texts = encoder.encode(`${path}\0${provider}\0${name}\0`), request = new Uint8Array(12 + texts.length);
  const view = new DataView(request.buffer);
  view.setInt32(0, pid, true);
  view.setBigUint64(4, cookie, true);
  request.set(texts, 12);
  return request;
}

/** What `attach` gives; an error in the terms of the target, for libbpf's are those of objects. */
function usdtFound<T>({ path, provider, name }: UsdtTarget, attach: () => T): T {
  try {
    return attach();
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    const { errno, code, command, log = "" } = error, hint = "`readelf -n FILE` lists the probes of a file";
    const refused = (why: Explanation) => {
      const action = error.message.slice(0, -`: ${error.meaning} (${code})`.length);
      return new BpfError(errno, { action, command, code, log: log || undefined, complaint: undefined, ...why });
    };
    if (code === "ENOENT") {
      const meaning = /failed to open/.test(log)
        ? `there is no file "${path}"`
        : log === ""
        ? `the file has no probe ${provider}:${name}`
        : /no USDT notes/.test(log)
        ? "the file has no USDT probes"
        : undefined;
      if (meaning !== undefined) throw refused({ reason: "gone", meaning, hint });
    }
    if (/could not read elf|unsupported type of ELF|invalid ELF|unsupported ELF/.test(log)) {
      throw refused({ reason: "invalid", meaning: `"${path}" is no executable or library for this machine` });
    }
    throw error;
  }
}

/** The same error with the program's whole name: the kernel keeps 15 characters of it, and the rest is a number. */
function named(error: unknown, program: Program, name: string): unknown {
  const prefix = `Cannot attach program ${program.id} `;
  if (!(error instanceof BpfError && error.message.startsWith(prefix))) return error;
  const { errno, code, command, reason, meaning, hint, log } = error;
  const action = error.message.slice(0, -`: ${meaning} (${code})`.length).replace(
    prefix,
    `Cannot attach program "${name}" `,
  );
  return new BpfError(errno, { action, command, reason, meaning, hint, log, complaint: undefined });
}

/** A group without what is no link, which ends with it all the same. */
function asLinks(group: Iterable<Attached> & Disposable & AsyncDisposable): LinkGroup {
  const links = [...group].filter((attached): attached is AnyLink => isHandle(attached, "link"));
  return {
    links,
    [Symbol.iterator]: () => links.values(),
    [Symbol.dispose]: () => group[Symbol.dispose](),
    [Symbol.asyncDispose]: () => group[Symbol.asyncDispose](),
  };
}
