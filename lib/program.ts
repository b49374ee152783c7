/** Programs, as far as links need them. */
import { type AttachTo, findPlace } from "./btf/load_target.ts";
import { checkFd, checkFlag, checkKeys, checkPath, checkU32, keysOf } from "./check.ts";
import { BpfError } from "./error.ts";
import { OwnedFd } from "./handle/owned.ts";

import { brand } from "./handle/brand.ts";
import { close, duplicateFd } from "./os/files.ts";
import { deviceIndex } from "./os/interfaces.ts";
import { isProgram, objGet } from "./sys/object.ts";
import { progGetFdById, progGetInfoByFd, progLoad, type ProgLoadOptions } from "./sys/program.ts";
import {
  type AttachTypeName,
  BPF_F_SLEEPABLE,
  BPF_F_XDP_DEV_BOUND_ONLY,
  BPF_F_XDP_HAS_FRAGS,
  type ProgramType,
  type ProgramTypeName,
} from "./uapi/constants.ts";
import { EINVAL } from "./uapi/errno.ts";

/** What {@linkcode Program.load} loads. */
export interface ProgramLoadOptions {
  /** The program's type, as libbpf names it: `cgroup_skb`, `xdp`, `sched_cls`, `tracing`, ... */
  type: ProgramTypeName;
  /** The program: 8 bytes an instruction, in the machine's byte order; no object file. */
  instructions: Uint8Array;
  /** The licence; some helpers want one that is compatible with the GPL. `"GPL"` by default. */
  license?: string | undefined;
  /** A name for listings: letters, digits, `_` and `.`, of which the kernel keeps 15. */
  name?: string | undefined;
  /** What it is to be attached as, where its type has several. For xdp `"xdp"` by default, else a link could not be updated later. */
  expectedAttachType?: AttachTypeName | undefined;
  /**
   * What a program of type tracing, lsm, ext or struct_ops is for:
   *
   * - a name in the kernel or one of its modules: of a function (`trace_fentry`, `trace_fexit`, `trace_fsession`,
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
  functionInfo?: Uint8Array | undefined;
  /** Records of `struct bpf_line_info`, 16 bytes each. */
  lineInfo?: Uint8Array | undefined;
  /** Whether the program may sleep. */
  sleepable?: boolean | undefined;
  /** Whether an xdp program understands packets in fragments. */
  fragments?: boolean | undefined;
  /** The interface, by name or number, that an xdp program is bound to. */
  device?: string | number | undefined;
  /** An fd of a BPF token, which stands in for capabilities; since Linux 6.9. */
  token?: number | undefined;
  /** How much the verifier writes into the log of a refusal: level 1 (default) or 2, and how many bytes are kept. */
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

/** The attach type that a program was loaded for, if it was loaded here and has one. */
export let expectedAttachTypeOf: (program: Program) => AttachTypeName | undefined;

/** Makes a handle of a program's fd, which is the handle's from then on, with what whoever loaded it knows. */
export let adoptProgram: (fd: number, expectedAttachType: AttachTypeName | undefined) => Program;

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
  readonly #owned: OwnedFd;
  readonly #expectedAttachType: AttachTypeName | undefined; // if it was loaded here: no kernel reports it
  /** The id, which the kernel gives once. It stays readable after {@linkcode close}. */
  readonly id: number;
  /** The name; may be empty. It stays readable after {@linkcode close}. */
  readonly name: string;
  /** The type, as libbpf names it. It stays readable after {@linkcode close}. */
  readonly type: ProgramType;
  /** A digest of the instructions. It stays readable after {@linkcode close}. */
  readonly tag: string;

  private constructor(fd: number, expectedAttachType?: AttachTypeName) {
    try {
      const info = progGetInfoByFd(fd);
      this.id = info.id;
      this.name = info.name;
      this.type = info.type;
      this.tag = info.tag;
    } catch (error) {
      close(fd);
      throw error;
    }
    const { id } = this;
    this.#owned = new OwnedFd(
      "program",
      fd,
      "closed",
      () => `program ${id}`,
      (other) => isProgram(other) && progGetInfoByFd(other).id === id,
    );
    this.#expectedAttachType = expectedAttachType;
  }

  static {
    brand("program", Program, (value) => #owned in value, (program) => {
      const name = program.name === "" ? "" : ` "${program.name}"`;
      return `Program ${program.id} (${program.type}${name}${program.closed ? ", closed" : ""})`;
    });
    expectedAttachTypeOf = (program) => #expectedAttachType in program ? program.#expectedAttachType : undefined;
    adoptProgram = (fd, expectedAttachType) => new Program(fd, expectedAttachType);
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
    let fd: number;
    try {
      fd = progLoad(type, instructions, { ...load, ...place });
    } finally {
      if (place.attachBtfObjFd !== undefined) close(place.attachBtfObjFd);
    }
    return adoptProgram(fd, expectedAttachType);
  }

  /**
   * Opens a program by its id. Needs CAP_SYS_ADMIN.
   *
   * @param id The id.
   * @returns A handle of it.
   * @throws {RangeError} If `id` is no unsigned 32-bit number.
   * @throws {BpfError} `gone` if there is no such program, `capability` without CAP_SYS_ADMIN.
   */
  static open(id: number): Program {
    return new Program(progGetFdById(checkU32(id, "id")));
  }

  /**
   * Opens the program that is pinned at `path`.
   *
   * @param path The pin, on a bpf file system.
   * @returns A handle of it.
   * @throws {TypeError} If `path` is no path.
   * @throws {BpfError} `gone` if nothing is there, `mismatch` if something else than a program is pinned there.
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
   */
  static fromFd(fd: number): Program {
    return Program.#adopt(duplicateFd(checkFd(fd, "fd")), `Cannot take fd ${fd} for a program`);
  }

  static #adopt(fd: number, action: string): Program {
    if (isProgram(fd)) return new Program(fd);
    close(fd);
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
   */
  info(): ProgramInfo {
    const { id, name, type, tag, mapIds, loadTime, createdByUid, runTimeNs, runCnt } = progGetInfoByFd(this.fd);
    const info: ProgramInfo = { id, name, type, tag, mapIds, loadedAt: loadTime, uid: createdByUid };
    return runCnt === 0n ? info : { ...info, runTimeNs, runCount: runCnt };
  }

  /**
   * Gives the program a path on a bpf file system, which keeps it loaded without any process.
   *
   * @param path The new file. Its name may have no dot.
   * @throws {TypeError} If `path` is no path.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   * @throws {BpfError} `exists` if the path exists, `invalid` if it lies on no bpf file system or has a dot.
   */
  pin(path: string | URL): void {
    this.#owned.pin(path);
  }

  /**
   * Removes the pin that {@linkcode pin} made or {@linkcode openPinned} opened, if it still holds this program.
   *
   * @throws {Deno.errors.BadResource} If the handle is closed, or knows no pin.
   * @throws {BpfError} `gone` if nothing is there any more, `mismatch` if something else is.
   */
  unpin(): void {
    this.#owned.unpin();
  }

  /**
   * Gives the fd away: the handle is closed, and the caller must close the fd.
   *
   * @returns The fd.
   * @throws {Deno.errors.BadResource} If the handle is closed.
   */
  release(): number {
    return this.#owned.release();
  }

  /** Closes the handle; twice does nothing. The program lives on while a link, a pin or another fd refers to it. */
  close(): void {
    this.#owned.close();
  }

  /** {@linkcode close}, at the end of a `using` scope. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function flag(options: ProgramLoadOptions, name: "sleepable" | "fragments", bit: number): number {
  return checkFlag(options[name], `options.${name}`) ? bit : 0;
}
