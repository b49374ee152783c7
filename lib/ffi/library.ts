/**
 * Finds and opens native libraries: at first use, once.
 *
 * A library stays in the process for good, since it is linked so (`-z nodelete`): a worker may be terminated while a
 * thread of the pool is inside. So its handle can be closed at once, and is: else the first test of a user that calls
 * something would be blamed for leaving it open (`--sanitize-resources`). Workers find by name what is there already.
 */
import { checkPath } from "../check.ts";
import { refused, type Row, type Rows } from "../refusal.ts";
import { EFBIG } from "../uapi/errno.ts";
import {
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  RTLD_LAZY,
  RTLD_NOLOAD,
} from "../uapi/linux.ts";
import { embedded, name } from "./embedded.ts";
import { numbers, symbols } from "./symbols.ts";

type Symbols = Readonly<Record<string, Deno.ForeignFunction>>;

/** What is special about a native library. */
export interface NativeLibraryOptions {
  /** Whose library it is, for messages. */
  readonly owner: string;
  /** The environment variable that may name its file. */
  readonly variable: string;
  /** The public functions that name its file and return its bytes, for messages. */
  readonly api: { readonly setPath: string; readonly bytes: string };
  /** All functions that it exports. */
  readonly symbols: Symbols;
  /** Those of them that are not opened before they are needed, by {@linkcode NativeLibrary.more}. */
  readonly later: readonly string[];
  /** Those that run on a thread of Deno's pool too. */
  readonly onThread: readonly string[];
  /** The one of them that takes nothing and returns the version of the interface, and which version that must be. */
  readonly abi: { readonly symbol: string; readonly version: number };
  /** Those that are called in loops. */
  readonly fast: readonly string[];
  /** The library itself in base64, by architecture; that of another one need not be here. */
  readonly embedded: Readonly<Record<string, string | undefined>>;
  /** How the loader knows it, another name for other bytes: the path of a file that cannot be. */
  readonly name: string;
}

/** Functions that run on a thread of Deno's pool, until it is disposed of. */
export interface Threads extends Disposable {
  call(symbol: string, args: readonly unknown[]): Promise<number>;
}

/** A native library, whose functions are `F`. */
export class NativeLibrary<F extends object> {
  readonly #options: NativeLibraryOptions;
  #path: string | undefined;
  #functions: F | undefined;
  #fast: F | undefined;
  #known: string | undefined; // as what the loader finds the embedded library again
  #onThread: Deno.DynamicLibrary<Deno.ForeignLibraryInterface> | undefined; // open only while it is used
  #users = 0;

  constructor(options: NativeLibraryOptions) {
    this.#options = options;
  }

  /** Its functions; opens the library if it is not open yet. */
  get functions(): F {
    return this.#functions ??= this.#open() as F;
  }

  /**
   * Those with a fast path, once they were called often. They want call sites of their own: where V8 has seen another
   * function before, it takes the slow path.
   */
  get fast(): F | undefined {
    return this.#fast;
  }

  /** Calls a function of {@linkcode NativeLibraryOptions.onThread} on another thread. */
  async callOnThread(symbol: string, args: readonly unknown[]): Promise<number> {
    using threads = this.threads();
    return await threads.call(symbol, args);
  }

  /** Further functions of it, for what few programs do: to open one takes 0.3 ms. */
  more<S extends Deno.ForeignLibraryInterface>(symbols: S): Deno.DynamicLibrary<S>["symbols"] {
    void this.functions; // opens the library, or throws
    const library = Deno.dlopen(this.#path ?? this.#known!, symbols);
    if (this.#known !== undefined) library.close();
    return library.symbols;
  }

  /** The same for many calls: opening the handle takes about as long as a call. */
  threads(): Threads {
    void this.functions; // opens the library, or throws
    const { symbols: all, onThread } = this.#options;
    try {
      this.#onThread ??= Deno.dlopen(
        this.#path ?? this.#known!,
        Object.fromEntries(onThread.map((name) => [name, { ...all[name]!, nonblocking: true }])),
      );
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) return this.#thisThread(error); // the permission was given back
      throw error;
    }
    const { symbols } = this.#onThread;
    this.#users++;
    return {
      call: (symbol, args) => (symbols[symbol] as (...args: readonly unknown[]) => Promise<number>)(...args),
      [Symbol.dispose]: () => {
        if (--this.#users > 0) return;
        this.#onThread?.close();
        this.#onThread = undefined;
      },
    };
  }

  /** Calls are made all the same, and block meanwhile: they own fds. */
  #thisThread(error: Error): Threads {
    const functions = this.functions as Record<string, ((...args: readonly unknown[]) => number) | undefined>;
    return {
      call: (symbol, args) => {
        const result = functions[symbol]?.(...args);
        return result === undefined ? Promise.reject(error) : Promise.resolve(result);
      },
      [Symbol.dispose]: () => {},
    };
  }

  /** Names the file to open; see {@linkcode setLibraryPath}. */
  setPath(path: string | URL): void {
    const file = checkPath(path, "path");
    if (this.#functions !== undefined) {
      throw new Deno.errors.Busy(
        `Cannot choose the native library: it is open already; call ${this.#options.api.setPath} before anything else`,
      );
    }
    this.#path = file;
  }

  /** The embedded library of this architecture; see {@linkcode libraryBytes}. */
  bytes(): Uint8Array<ArrayBuffer> {
    const { embedded, owner, api } = this.#options;
    checkRuntime(owner);
    const { os, arch } = Deno.build;
    if (os !== "linux") {
      throw new Deno.errors.NotSupported(`Cannot load native library: eBPF links exist on Linux only, this is ${os}`);
    }
    const library = embedded[arch];
    if (library !== undefined) return Uint8Array.fromBase64(library);
    throw new Deno.errors.NotSupported(
      `Cannot load native library: that of ${owner} is built for ${Object.keys(embedded).join(" and ")}, ` +
        `this is ${arch}; build it and name the file with ${api.setPath}`,
    );
  }

  #open(): unknown {
    checkRuntime(this.#options.owner);
    const path = this.#path ??= this.#pathFromEnvironment();
    const slow = withoutFastPaths(this.#options);
    return this.#untilOften(path === undefined ? this.#openEmbedded(slow) : this.#openFile(path, slow));
  }

  /** The functions, until they were called so often that fast paths are worth what they take. */
  #untilOften(slow: Slow): F {
    let calls = 0;
    const counting: Slow = {};
    for (const name in slow) {
      const call = slow[name]!;
      counting[name] = (...args) => {
        if (++calls === OFTEN) this.#useFastPaths();
        return call(...args, NOTHING);
      };
    }
    return counting as F;
  }

  #useFastPaths(): void {
    const { symbols, fast } = this.#options;
    const often = Object.fromEntries(fast.map((name) => [name, symbols[name]!]));
    try {
      const library = Deno.dlopen(this.#path ?? this.#known!, often);
      library.close(); // the first stays, or is linked so
      this.#functions = { ...this.#functions!, ...library.symbols };
      this.#fast = this.#functions;
    } catch {
      // the permission was given back, or the file is gone: what there is goes on
    }
  }

  #pathFromEnvironment(): string | undefined {
    const { variable } = this.#options;
    const { state } = Deno.permissions.querySync({ name: "env", variable });
    return state === "granted" ? Deno.env.get(variable) || undefined : undefined;
  }

  #openFile(path: string, symbols: Deno.ForeignLibraryInterface): Slow {
    const { owner, api, abi } = this.#options;
    const is = `Cannot load native library "${path}"`;
    let probe;
    try {
      probe = Deno.dlopen(path, { version: { name: abi.symbol, parameters: [], result: "u32" } });
    } catch (cause) {
      if (cause instanceof Deno.errors.NotCapable) {
        throw new Deno.errors.NotCapable(`${is}: calling into it is not granted; run with --allow-ffi=${path}`, {
          cause,
        });
      }
      throw new Deno.errors.InvalidData(
        `${is}: it is not the library of ${owner} for ${Deno.build.arch}; write ${api.bytes} to that path`,
        { cause },
      );
    }
    const version = probe.symbols.version();
    probe.close();
    if (version !== abi.version) {
      throw new Deno.errors.InvalidData(
        `${is}: it has interface ${version}, this version of the package needs ${abi.version}; write ${api.bytes} to that path`,
      );
    }
    return Deno.dlopen(path, symbols).symbols as Slow; // not closed: it may have been built without the flag
  }

  /** Nothing is written to a disk, where somebody else might change it before it is loaded with our privileges. */
  #openEmbedded(symbols: Deno.ForeignLibraryInterface): Slow {
    const { name } = this.#options, bytes = this.bytes();
    let libc: ReturnType<typeof openLibc>;
    try {
      libc = openLibc();
    } catch (cause) {
      throw this.#withoutLibc(cause);
    }
    const call = libc.symbols, encoder = new TextEncoder();
    let fd = -1;
    try {
      // Deno looks for a name in the current directory, unless all is granted.
      const takesNames = Deno.permissions.querySync({ name: "ffi" }).state === "granted";
      const known = takesNames && call.dlopen?.(encoder.encode(`${name}\0`), RTLD_LAZY | RTLD_NOLOAD, NOTHING);
      let file = name;
      if (!known) {
        fd = call.memfd_create(encoder.encode("bpf_link\0"), MFD_CLOEXEC | MFD_ALLOW_SEALING, NOTHING);
        if (fd < 0) throw this.#refused("memfd_create", errnoOf(call));
        const written = call.write(fd, bytes, BigInt(bytes.length), NOTHING);
        if (written !== bytes.length) throw this.#refused("write", written < 0 ? errnoOf(call) : EFBIG);
        const seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
        if (call.fcntl(fd, F_ADD_SEALS, seals, NOTHING) < 0) throw this.#refused("fcntl", errnoOf(call));
        file = pathOf(fd, name);
      }
      const library = Deno.dlopen(file, symbols);
      library.close();
      this.#known = takesNames ? name : file;
      return library.symbols as Slow;
    } finally {
      if (fd >= 0) call.close(fd, NOTHING);
      libc.close();
    }
  }

  #withoutLibc(cause: unknown): Error {
    const [asFile, byPath] = this.#otherWay();
    if (cause instanceof Deno.errors.NotCapable) {
      const hint = `run with --allow-ffi, or ${asFile}, ${byPath} and run with --allow-ffi=FILE`;
      return new Deno.errors.NotCapable(`Cannot load native library: ${hint}`, { cause });
    }
    const hint = `the C library, libc.so.6, cannot be opened; ${asFile} and ${byPath}`;
    return new Deno.errors.NotSupported(`Cannot load native library: ${hint}`, { cause });
  }

  #refused(command: string, errno: number): Error {
    const cause = refused(-errno, { command, rows: () => NO_MEMORY_FILE }, "Cannot load native library");
    const hint = cause.hint ?? this.#otherWay().join(" and ");
    return new Deno.errors.NotSupported(`${cause.message}; ${hint}`, { cause });
  }

  #otherWay(): [asFile: string, byPath: string] {
    const { api } = this.#options;
    return [`write ${api.bytes} to a file`, `name it with ${api.setPath}`];
  }
}

/** After so many calls, fast paths have cost less than they save. */
const OFTEN = 1000;

/** Functions that take {@linkcode NOTHING} last. */
type Slow = Record<string, (...args: unknown[]) => number>;

/**
 * What functions are given beyond their parameters, and never look at: Deno compiles no fast path for those that take a
 * struct, and that takes 0.2 ms a function at once. A call is a microsecond slower then, and the first one sooner.
 */
const NOTHING = new Uint8Array(4), STRUCT = { struct: ["i32"] } as const;

function withoutFastPaths({ symbols, later }: NativeLibraryOptions): Deno.ForeignLibraryInterface {
  const slow: Record<string, Deno.ForeignFunction> = {};
  for (const name in symbols) {
    if (later.includes(name)) continue;
    const { parameters, result } = symbols[name]!;
    slow[name] = { parameters: [...parameters, STRUCT], result };
  }
  return slow;
}

const POLICY: Row = ["policy", "a policy allows no memory file whose code can be run"];

/** What errnos of a memory file mean. */
const NO_MEMORY_FILE: Rows = {
  EPERM: POLICY,
  EACCES: POLICY,
  ENOSYS: ["unsupported", "this system makes no sealed memory file"],
};

/** Other runtimes may import the package, for a part of their program that runs elsewhere; they cannot call it. */
function checkRuntime(owner: string): void {
  if (typeof Deno === "undefined") {
    throw new Error(
      `Cannot load native library: ${owner} works under Deno only; this is another runtime; see https://deno.com`,
    );
  }
  if ("fromBase64" in Uint8Array) return;
  throw new Deno.errors.NotSupported(
    `Cannot load native library: ${owner} needs Deno ${OLDEST_DENO} or newer, this is ${Deno.version.deno}; run deno upgrade`,
  );
}

/** The first that reads base64 by itself; the tests run both sides of it. */
const OLDEST_DENO = "2.5";

/**
 * The C library. Deno looks for a bare name in the current directory, where anybody may have put something, unless all
 * of ffi is granted: so all of it is asked for, which is one prompt instead of one for each file, and what grants
 * single calls without that (a permission broker) is asked for the file where it is known to be.
 */
function openLibc(): Deno.DynamicLibrary<typeof LIBC> {
  if (Deno.permissions.requestSync({ name: "ffi" }).state === "granted") return Deno.dlopen("libc.so.6", LIBC);
  if (Deno.stdin.isTerminal() && Deno.stderr.isTerminal()) throw new Deno.errors.NotCapable("ffi was not granted");
  for (const path of [`/lib/${Deno.build.arch}-linux-gnu/libc.so.6`, "/lib64/libc.so.6"]) {
    try {
      return Deno.dlopen(path, LIBC);
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
    }
  }
  return Deno.dlopen("/usr/lib/libc.so.6", LIBC);
}

/** Without fast paths, for each is called once. */
const LIBC = {
  memfd_create: { parameters: ["buffer", "u32", STRUCT], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize", STRUCT], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32", STRUCT], result: "i32" },
  close: { parameters: ["i32", STRUCT], result: "i32" },
  dlopen: { parameters: ["buffer", "i32", STRUCT], result: "u64", optional: true }, // since glibc 2.34
  __errno_location: { parameters: [STRUCT], result: "u64" },
  memcpy: { parameters: ["buffer", "u64", "usize", STRUCT], result: "void" },
} as const;

function errnoOf(call: Deno.DynamicLibrary<typeof LIBC>["symbols"]): number {
  const errno = new Int32Array(1);
  call.memcpy(errno, call.__errno_location(NOTHING), 4n, NOTHING); // from where the C library keeps it
  return errno[0]!;
}

/**
 * A path of `fd` that only this library has: the loader takes one that it knows for the library that had it, and the
 * numbers of fds come again. `.` and an empty part of a path mean nothing, so they can spell the name's digits.
 */
function pathOf(fd: number, name: string): string {
  const digits = name.slice(name.lastIndexOf(".") + 1).slice(0, 8);
  const bits = Number.parseInt(digits, 16).toString(2).padStart(32, "0");
  return `/proc/self/${bits.replaceAll("0", "/").replaceAll("1", "./")}fd/${fd}`;
}

/** The functions of the native library. */
export type Native = Deno.DynamicLibrary<typeof symbols>["symbols"];

type ThreadSymbol = "bpf_link_bpf" | "bpf_link_system";

const core = new NativeLibrary<Native>({
  owner: "@bpf/link",
  variable: "BPF_LINK_LIBRARY",
  api: { setPath: "setLibraryPath()", bytes: "libraryBytes()" },
  symbols,
  later: ["bpf_link_abi", "bpf_link_ring", "bpf_link_ring_map", "bpf_link_ring_wait"],
  fast: ["bpf_link_words", "bpf_link_info", "bpf_link_bpf", "bpf_link_system", "bpf_link_close", "bpf_link_unpin"],
  onThread: ["bpf_link_bpf", "bpf_link_system", "bpf_link_ring_wait"],
  abi: { symbol: "bpf_link_abi", version: numbers.abi.VERSION },
  embedded,
  name,
});

/** Calls a function of the native library on another thread, which takes what the function takes. */
export function onAnotherThread<S extends ThreadSymbol>(
  symbol: S,
  ...args: Parameters<Native[S]>
): Promise<number> {
  return core.callOnThread(symbol, args);
}

/** Keeps the way to other threads open, for many calls. */
export function keepThreads(): Threads {
  return core.threads();
}

/** The functions of the native library that are called in loops, once they were; see {@linkcode NativeLibrary.fast}. */
export function fast(): Native | undefined {
  return core.fast;
}

let rings: Pick<Native, "bpf_link_ring" | "bpf_link_ring_map" | "bpf_link_ring_wait"> | undefined;

/** The functions for rings, which are opened now if they are not yet. */
export function nativeRings(): NonNullable<typeof rings> {
  return rings ??= openRings();
}

function openRings(): NonNullable<typeof rings> {
  const { bpf_link_ring, bpf_link_ring_map, bpf_link_ring_wait } = symbols;
  return core.more({ bpf_link_ring, bpf_link_ring_map, bpf_link_ring_wait });
}

/** The functions of the native library, which is opened now if it is not yet. */
export function native(): Native {
  return core.functions;
}

/**
 * Names the file of the native library, for processes that may only call into one path (`--allow-ffi=PATH`).
 *
 * Without it the file named by the environment variable `BPF_LINK_LIBRARY` is taken if reading that variable needs no
 * prompt, and otherwise the copy inside the package, which needs an unscoped `--allow-ffi`. The file is what
 * {@linkcode libraryBytes} returns.
 *
 * @param path The file, as it stands in the grant: Deno does not follow symbolic links when it compares.
 * @throws {TypeError} If `path` is neither a string nor a `file:` URL.
 * @throws {Deno.errors.Busy} If the library is open already: call this before anything else of the package.
 *
 * @example A grant for one path, as `tests/unit/library_test` of the repository makes it
 * ```ts ignore
 * import { libraryBytes, setLibraryPath } from "@bpf/link";
 *
 * // once, where files may be written:
 * Deno.writeFileSync("/tmp/libbpf_link.so", libraryBytes());
 * // later, under --allow-ffi=/tmp/libbpf_link.so:
 * setLibraryPath("/tmp/libbpf_link.so");
 * ```
 */
export function setLibraryPath(path: string | URL): void {
  core.setPath(path);
}

/**
 * The native library of this architecture, to be written to the file that {@linkcode setLibraryPath} names.
 *
 * @returns The bytes of an ELF shared object for Linux, some KiB.
 * @throws {Deno.errors.NotSupported} On another system or architecture.
 *
 * @example Its digest, to be compared with that of a build of one's own
 * ```ts
 * import { libraryBytes } from "@bpf/link";
 *
 * const digest = await crypto.subtle.digest("SHA-256", libraryBytes());
 * console.log(new Uint8Array(digest).toHex());
 * ```
 */
export function libraryBytes(): Uint8Array<ArrayBuffer> {
  return core.bytes();
}
