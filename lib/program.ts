/** Programs, as far as links need them. */
import { type AttachTo, findPlace } from "./btf/load_target.ts";
import { bytesOf, checkFd, checkFlag, checkInteger, checkKeys, checkPath, checkU32, keysOf } from "./check.ts";
import { BpfError } from "./error.ts";
import { type HandleClass, OwnedFd, type PinOptions } from "./handle/owned.ts";

import { brand } from "./handle/brand.ts";
import { toJson } from "./json.ts";
import { listObjects, type ObjectListOptions } from "./listing/objects.ts";
import { closeIfOpen, duplicateFd } from "./os/files.ts";
import { deviceIndex } from "./os/interfaces.ts";
import { isProgram, keptIf, objGet } from "./sys/object.ts";
import { MOST_DATA, progTestRun } from "./sys/prog_test_run.ts";
import {
  loadProgram,
  progGetFdById,
  progGetInfoByFd,
  progGetNextId,
  type ProgInfo,
  type ProgLoadOptions,
} from "./sys/program.ts";
import {
  type AttachTypeName,
  BPF_F_SLEEPABLE,
  BPF_F_TEST_RUN_ON_CPU,
  BPF_F_XDP_DEV_BOUND_ONLY,
  BPF_F_XDP_HAS_FRAGS,
  type ProgramType,
  type ProgramTypeName,
  programTypeNumber,
} from "./uapi/constants.ts";
import { EINVAL } from "./uapi/errno.ts";

/** What {@linkcode Program.load} loads. */
export interface ProgramLoadOptions {
  /** The program's type, as libbpf names it: `cgroup_skb`, `xdp`, `sched_cls`, `tracing`, ... */
  type: ProgramTypeName;
  /** The program: 8 bytes an instruction, in the machine's byte order; no object file. */
  instructions: ArrayBufferView;
  /** The licence; some helpers want one that is compatible with the GPL. `"GPL"` by default. */
  license?: string | undefined;
  /** A name for listings: letters, digits, `_` and `.`, of which the kernel keeps 15. */
  name?: string | undefined;
  /** What it is to be attached as, where its type has several. For xdp `"xdp"` by default, else a link could not be updated later. */
  expectedAttachType?: AttachTypeName | undefined;
  /**
   * What a program of type tracing, lsm, ext or struct_ops is for:
   *
   * - a name in the kernel or one of its modules, `module:name` for that module alone: of a function (`trace_fentry`, `trace_fexit`, `trace_fsession`,
   *   `modify_return`), of a tracepoint (`trace_raw_tp`), of an iterator such as `task` (`trace_iter`), of a hook such as
   *   `file_open` (`lsm_mac`, `lsm_cgroup`);
   * - or the id of its type in the BTF of the kernel, or of a module by name;
   * - a function of another program, which this one replaces (type ext) or traces; finding it takes CAP_SYS_ADMIN;
   * - a member of a struct that the kernel fills with programs (struct_ops).
   */
  attachTo?: AttachTo<Program> | undefined;
  /** An fd of the program's BTF. */
  btf?: number | undefined;
  /** Records of `struct bpf_func_info`, 8 bytes each. */
  functionInfo?: ArrayBufferView | undefined;
  /** Records of `struct bpf_line_info`, 16 bytes each. */
  lineInfo?: ArrayBufferView | undefined;
  /** Whether the program may sleep. */
  sleepable?: boolean | undefined;
  /** Whether an xdp program understands packets in fragments. */
  fragments?: boolean | undefined;
  /** The interface, by name or number, that an xdp program is bound to: it fits there alone, and not in mode `generic`. */
  device?: string | number | undefined;
  /** An fd of a BPF token, which stands in for capabilities; since Linux 6.9. */
  token?: number | undefined;
  /**
   * How much the verifier writes into the log of a refusal: level 1 (default) or 2, and how many bytes are kept. If it is
   * given, {@linkcode Program.log} has the log of a program that loads too.
   */
  log?: { level?: number | undefined; size?: number | undefined } | undefined;
}

/** What {@linkcode Program.info} returns. */
export interface ProgramInfo {
  /** Its id. */
  id: number;
  /** Its name; may be empty. */
  name: string;
  /** Its type, as libbpf names it. */
  type: ProgramType;
  /** A digest of its instructions. */
  tag: string;
  /** The ids of its maps. */
  mapIds: readonly number[];
  /** When it was loaded, in nanoseconds since boot. */
  loadedAt?: bigint;
  /** The user who loaded it. */
  uid?: number;
  /** How long it ran, in nanoseconds; absent unless statistics are enabled. */
  runTimeNs?: bigint;
  /** How often it ran; absent unless statistics are enabled. */
  runCount?: bigint;
  /** The id of its BTF; absent if it has none. */
  btfId?: number;
}

/** What {@linkcode Program.run} runs a program on. */
export interface ProgramRunOptions {
  /** The packet that it sees, of at least 14 bytes: an Ethernet header. Tracepoints and the like have none. */
  data?: ArrayBufferView | undefined;
  /** Its context: `struct xdp_md`, `struct __sk_buff`, ...; or the arguments of a tracepoint, 8 bytes each. */
  context?: ArrayBufferView | undefined;
  /** How often it runs; once if absent. */
  repeat?: number | undefined;
  /** The CPU that a raw_tracepoint program runs on. */
  cpu?: number | undefined;
  /** How many bytes the packet may have afterwards; 512 more than before if absent. */
  dataSize?: number | undefined;
}

/** What {@linkcode Program.run} returns. */
export interface ProgramRun {
  /** What the program returned, as a signed number: TCX_NEXT is -1. */
  returnValue: number;
  /** How long a run took, in nanoseconds, the mean of all; 0 for types that are not measured. */
  durationNs: number;
  /** The packet as the program left it; empty if there was none. */
  data: Uint8Array<ArrayBuffer>;
  /** The context as the program left it; empty if there was none, or the type gives none back. */
  context: Uint8Array<ArrayBuffer>;
}

const OPTIONS = keysOf<ProgramLoadOptions>({
  type: true,
  instructions: true,
  license: true,
  name: true,
  expectedAttachType: true,
  attachTo: true,
  btf: true,
  functionInfo: true,
  lineInfo: true,
  sleepable: true,
  fragments: true,
  device: true,
  token: true,
  log: true,
});

const RUN_OPTIONS = keysOf<ProgramRunOptions>({ data: true, context: true, repeat: true, cpu: true, dataSize: true });

/** How much longer a program may make a packet, unless the caller says. */
const HEADROOM = 512;

/** The attach type that a program was loaded for, if it was loaded here and has one. */
export let expectedAttachTypeOf: (program: Program) => AttachTypeName | undefined;

/** The number of the interface that a program is bound to, if it was loaded here and is. */
export let deviceOf: (program: Program) => number | undefined;

/** Makes a handle of a program's fd, which the handle then owns, with what the caller that loaded it knows. */
export let adoptProgram: (
  fd: number,
  expectedAttachType: AttachTypeName | undefined,
  log?: string,
  device?: number,
) => Program;

/**
 * A program in the kernel.
 *
 * It is loaded by {@linkcode Program.load}, or opened by id, from a pin or from an fd. The end of a `using` scope closes
 * the fd; the program itself lives on while a link, a pin or another fd refers to it. A handle that is forgotten is
 * closed when it is collected.
 *
 * Loading needs CAP_BPF, and CAP_NET_ADMIN for programs of the network or CAP_PERFMON for tracing ones.
 *
 * @example
 * ```ts
 * import { Program } from "@bpf/link";
 *
 * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
 * using program = Program.load({ type: "xdp", instructions: pass, name: "pass" });
 * console.log(program.id, program.tag);
 * ```
 */
export class Program implements Disposable {
  static readonly #CLASS: HandleClass<Program> = {
    kind: "program",
    name: ({ id }) => `program ${id}`,
    isSame: ({ id }, fd) => isProgram(fd) && progGetInfoByFd(fd).id === id,
  };

  readonly #owned: OwnedFd<Program>;
  // if it was loaded here: no kernel reports them
  readonly #expectedAttachType: AttachTypeName | undefined;
  readonly #device: number | undefined;
  /** The id, which the kernel gives once. It stays readable after {@linkcode close}. */
  readonly id: number;
  /** The name; may be empty. It stays readable after {@linkcode close}. */
  readonly name: string;
  /** The type, as libbpf names it. It stays readable after {@linkcode close}. */
  readonly type: ProgramType;
  /** A digest of the instructions. It stays readable after {@linkcode close}. */
  readonly tag: string;

  /** What the verifier wrote when it was loaded here, if {@linkcode ProgramLoadOptions.log} was given; the end of it if it is longer. */
  readonly log: string | undefined;

  private constructor(fd: number, expectedAttachType?: AttachTypeName, log?: string, device?: number) {
    try {
      const info = progGetInfoByFd(fd);
      this.id = info.id;
      this.name = info.name;
      this.type = info.type;
      this.tag = info.tag;
    } catch (error) {
      closeIfOpen(fd);
      throw error;
    }
    this.#owned = new OwnedFd(Program.#CLASS, this, fd, "closed");
    this.#expectedAttachType = expectedAttachType;
    this.#device = device;
    this.log = log;
  }

  static {
    brand("program", Program, (value) => #owned in value, (program) => {
      const name = program.name === "" ? "" : ` "${program.name}"`;
      return `Program ${program.id} (${program.type}${name}${program.closed ? ", closed" : ""})`;
    });
    expectedAttachTypeOf = (program) => #expectedAttachType in program ? program.#expectedAttachType : undefined;
    deviceOf = (program) => #device in program ? program.#device : undefined;
    adoptProgram = (fd, expectedAttachType, log, device) => new Program(fd, expectedAttachType, log, device);
  }

  /**
   * Loads a program; the kernel's verifier proves it safe first.
   *
   * @param options The program and what it is for.
   * @returns A handle of it.
   * @throws {TypeError} If an option is unknown, missing or of the wrong type.
   * @throws {RangeError} If a number is out of range.
   * @throws {BpfError} `reason` is `invalid` with the verifier's words in `log`, `capability` if the process lacks one,
   * `policy` if privileges suffice but the kernel refuses this kind of program.
   *
   * @example
   * ```ts
   * import { Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass, name: "pass", log: { level: 2 } });
   * console.log(program.name, program.type, program.log?.includes("exit")); // pass xdp true
   * ```
   */
  static load(options: ProgramLoadOptions): Program {
    checkKeys(options, "options", OPTIONS);
    const { type, instructions, license, name, btf, functionInfo, lineInfo, token, log } = options;
    const expectedAttachType = options.expectedAttachType ?? (type === "xdp" ? "xdp" : undefined);
    if (log !== undefined) checkKeys(log, "options.log", ["level", "size"]);
    const load: ProgLoadOptions = {
      name,
      license,
      expectedAttachType,
      progFlags: flag(options, "sleepable", BPF_F_SLEEPABLE) | flag(options, "fragments", BPF_F_XDP_HAS_FRAGS) |
        (options.device === undefined ? 0 : BPF_F_XDP_DEV_BOUND_ONLY),
      progIfindex: options.device === undefined ? undefined : deviceIndex(options.device),
      progBtfFd: btf,
      funcInfo: functionInfo,
      lineInfo,
      tokenFd: token,
      logLevel: log?.level,
      logSize: log?.size,
    };
    const place = options.attachTo === undefined ? {} : findPlace(options.attachTo, type, expectedAttachType);
    let loaded: ReturnType<typeof loadProgram>;
    try {
      loaded = loadProgram(type, instructions, { ...load, ...place }, log !== undefined);
    } finally {
      if (place.attachBtfObjFd !== undefined) closeIfOpen(place.attachBtfObjFd);
    }
    return adoptProgram(loaded.fd, expectedAttachType, loaded.log, load.progIfindex);
  }

  /**
   * Opens a program by its id. Needs CAP_SYS_ADMIN.
   *
   * @param id The id.
   * @returns A handle of it.
   * @throws {RangeError} If `id` is no unsigned 32-bit number.
   * @throws {BpfError} `gone` if there is no such program, `capability` without CAP_SYS_ADMIN.
   *
   * @example
   * ```ts
   * import { Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * using again = Program.open(program.id); // as another process would
   * console.log(again.tag === program.tag); // true
   * ```
   */
  static open(id: number): Program {
    return new Program(progGetFdById(checkU32(id, "id")));
  }

  /**
   * Opens the program that is pinned at `path`.
   *
   * Symbolic links are followed, so somebody who may write into a directory of the path chooses what is opened;
   * {@linkcode unpin} follows none.
   *
   * @param path The pin, on a bpf file system.
   * @returns A handle of it.
   * @throws {TypeError} If `path` is no path.
   * @throws {BpfError} `gone` if nothing is there, `mismatch` if something else than a program is pinned there.
   *
   * @example
   * ```ts
   * import { Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * program.pin("/sys/fs/bpf/pass");
   * using again = Program.openPinned("/sys/fs/bpf/pass");
   * console.log(again.id === program.id); // true
   * again.unpin();
   * ```
   */
  static openPinned(path: string | URL): Program {
    const file = checkPath(path, "path");
    const program = Program.#adopt(objGet(file), `Cannot open pinned program "${file}"`);
    program.#owned.openedAt(file);
    return program;
  }

  /**
   * Makes a handle for an fd that somebody else owns. It is duplicated, so the caller keeps and closes their own.
   *
   * @param fd An fd of a program.
   * @returns A handle of it.
   * @throws {RangeError} If `fd` is no fd.
   * @throws {BpfError} `invalid` if `fd` is not open, `mismatch` if it is no program.
   *
   * @example
   * ```ts
   * import { Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * using again = Program.fromFd(program.fd); // or one that was inherited
   * console.log(again.id === program.id, again.fd === program.fd); // true false
   * ```
   */
  static fromFd(fd: number): Program {
    return Program.#adopt(duplicateFd(checkFd(fd, "fd")), `Cannot take fd ${fd} for a program`);
  }

  /**
   * The infos of every program of the machine. Needs CAP_SYS_ADMIN.
   *
   * It is no snapshot: programs that are loaded or unloaded meanwhile may be in it or not. None is held between two steps.
   *
   * @param options Which types, and a signal that ends the listing.
   * @returns The infos in the order of their ids, to be iterated once.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   * @throws {BpfError} When the first is asked for: `capability` without CAP_SYS_ADMIN, `limit` if the process has too
   * many open files.
   *
   * @example
   * ```ts
   * import { Program } from "@bpf/link";
   *
   * for await (const { id, type, name } of Program.infos({ types: ["xdp", "sched_cls"] })) console.log(id, type, name);
   * ```
   */
  static infos(options: ObjectListOptions<ProgramTypeName> = {}): AsyncGenerator<ProgramInfo, void, void> {
    return listObjects(options, programTypeNumber, {
      nextId: progGetNextId,
      open: progGetFdById,
      read: (fd) => describe(progGetInfoByFd(fd)),
    });
  }

  static #adopt(fd: number, action: string): Program {
    if (keptIf(fd, isProgram)) return new Program(fd);
    throw new BpfError(EINVAL, {
      action,
      command: "PROG_BIND_MAP",
      reason: "mismatch",
      meaning: "it is no program",
      hint: "links and maps have classes of their own",
    });
  }

  /** The fd, for calls of `@bpf/link/sys`. It is closed with the handle, so keep the handle. */
  get fd(): number {
    return this.#owned.fd;
  }

  /** Whether the handle is closed. */
  get closed(): boolean {
    return this.#owned.closed;
  }

  /**
   * Reads what the kernel reports of the program.
   *
   * @returns Its info.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   *
   * @example
   * ```ts
   * import { Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * const { type, mapIds, runCount } = program.info();
   * console.log(type, mapIds, runCount); // xdp [] undefined
   * ```
   */
  info(): ProgramInfo {
    return describe(progGetInfoByFd(this.fd));
  }

  /**
   * Runs the program by hand, without attaching it: for tests and measurements. It really runs, with all that it does to
   * maps.
   *
   * Programs of packets (xdp, sched_cls, cgroup_skb, socket_filter, lwt, flow_dissector, netfilter) take `data`;
   * raw_tracepoint, sk_lookup and syscall take `context` only; others cannot be run so. Needs no capability.
   *
   * @param options What it sees, and how often it runs.
   * @returns What it returned and left, and how long it took.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   * @throws {RangeError} If a number is out of range, or data or context is longer than 1 MiB.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `unsupported` if programs of this type cannot be run by hand, `invalid` if they take other data or
   * context, `limit` if the packet is longer than `dataSize` afterwards.
   *
   * @example
   * ```ts
   * import { Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * const { returnValue, durationNs } = program.run({ data: new Uint8Array(64), repeat: 1000 });
   * console.log(returnValue); // 2
   * console.log(durationNs, "ns");
   * ```
   */
  run(options: ProgramRunOptions = {}): ProgramRun {
    checkKeys(options, "options", RUN_OPTIONS);
    const { data, context, repeat, cpu } = options;
    const dataIn = data && bytesOf(data, "options.data"), ctxIn = context && bytesOf(context, "options.context");
    if (cpu !== undefined) checkU32(cpu, "options.cpu");
    const dataSizeOut = options.dataSize ?? (dataIn === undefined ? 0 : Math.min(dataIn.length + HEADROOM, MOST_DATA));
    checkInteger(dataSizeOut, "options.dataSize", 0, MOST_DATA);
    // programs of packets alone give a context back
    const ctxSizeOut = dataIn === undefined ? 0 : ctxIn?.length ?? 0;
    const flags = cpu === undefined ? 0 : BPF_F_TEST_RUN_ON_CPU;
    const run = progTestRun(this.fd, { dataIn, ctxIn, repeat, cpu, flags, dataSizeOut, ctxSizeOut });
    return { returnValue: run.retval | 0, durationNs: run.duration, data: run.dataOut, context: run.ctxOut };
  }

  /**
   * Gives the program a path on a bpf file system, which keeps it loaded without any process.
   *
   * @param path The new file. Its name may have no dot.
   * @param options Whether to make directories that are missing.
   * @throws {TypeError} If `path` is no path, or an option is unknown.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `exists` if the path exists, `invalid` if it lies on no bpf file system or has a dot.
   *
   * @example
   * ```ts
   * import { Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * program.pin("/sys/fs/bpf/agent/pass", { makeDirectories: true }); // it outlives the process
   * program.unpin(); // until here
   * ```
   */
  pin(path: string | URL, options?: PinOptions): void {
    this.#owned.pin(path, options);
  }

  /**
   * Removes the pin that {@linkcode pin} made or {@linkcode openPinned} opened, if it still holds this program, holding the
   * lock of the directory meanwhile.
   *
   * @throws {Deno.errors.BadResource} If the handle is closed, or knows no pin.
   * @throws {BpfError} `gone` if nothing is there any more, `mismatch` if something else is, `busy` if the lock is held
   * for more than 5 seconds.
   *
   * @example
   * ```ts
   * import { Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * using program = Program.load({ type: "xdp", instructions: pass });
   * program.pin("/sys/fs/bpf/pass");
   * program.unpin();
   * ```
   */
  unpin(): void {
    this.#owned.unpin();
  }

  /**
   * Gives the fd away: the handle is closed, and the caller must close the fd.
   *
   * @returns The fd.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   *
   * @example
   * ```ts
   * import { Program } from "@bpf/link";
   * import { close, progGetInfoByFd } from "@bpf/link/sys";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * const fd = Program.load({ type: "xdp", instructions: pass }).release();
   * console.log(progGetInfoByFd(fd).type); // xdp
   * close(fd);
   * ```
   */
  release(): number {
    return this.#owned.release();
  }

  /**
   * Closes the handle; twice does nothing. The program lives on while a link, a pin or another fd refers to it.
   *
   * @example
   * ```ts
   * import { Program } from "@bpf/link";
   *
   * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
   * const program = Program.load({ type: "xdp", instructions: pass });
   * program.close(); // what `using` does
   * console.log(program.closed, program.type); // true xdp
   * ```
   */
  close(): void {
    this.#owned.close();
  }

  /**
   * What `JSON.stringify` takes.
   *
   * @returns The info as {@linkcode toJson} has it; of a closed handle id, name, type and tag, with `closed: true`.
   */
  toJSON(): Record<string, unknown> {
    return this.closed
      ? { id: this.id, name: this.name, type: this.type, tag: this.tag, closed: true }
      : toJson(this.info());
  }

  /** {@linkcode close}, at the end of a `using` scope. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function describe(
  { id, name, type, tag, mapIds, loadTime, createdByUid, runTimeNs, runCnt, btfId }: ProgInfo,
): ProgramInfo {
  const info: ProgramInfo = { id, name, type, tag, mapIds, loadedAt: loadTime, uid: createdByUid };
  if (runCnt !== 0n) Object.assign(info, { runTimeNs, runCount: runCnt });
  if (btfId !== 0) info.btfId = btfId;
  return info;
}

function flag(options: ProgramLoadOptions, name: "sleepable" | "fragments", bit: number): number {
  return checkFlag(options[name], `options.${name}`) ? bit : 0;
}
