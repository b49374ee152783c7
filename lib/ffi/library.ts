/** Finds and opens native libraries: at first use, once, for good (a call after `close()` would crash the process). */
import { checkPath } from "../check.ts";
import {
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
} from "../uapi/linux.ts";
import { embedded } from "./embedded.ts";
import { numbers, symbols } from "./symbols.ts";

/** What is special about a native library. */
export interface NativeLibraryOptions {
  /** Whose library it is, for messages. */
  readonly owner: string;
  /** The environment variable that may name its file. */
  readonly variable: string;
  /** The public functions that name its file and return its bytes, for messages. */
  readonly api: { readonly setPath: string; readonly bytes: string };
  /** All functions that it exports. */
  readonly symbols: Deno.ForeignLibraryInterface;
  /** The one of them that takes nothing and returns the version of the interface, and which version that must be. */
  readonly abi: { readonly symbol: string; readonly version: number };
  /** The library itself in base64, by architecture. */
  readonly embedded: Readonly<Record<string, string>>;
}

/** A native library, whose functions are `F`. */
export class NativeLibrary<F extends object> {
  readonly #options: NativeLibraryOptions;
  #path: string | undefined;
  #functions: F | undefined;

  constructor(options: NativeLibraryOptions) {
    this.#options = options;
  }

  /** Its functions; opens the library if it is not open yet. */
  get functions(): F {
    return this.#functions ??= this.#open() as F;
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
    const path = this.#path ?? this.#pathFromEnvironment();
    return path === undefined ? this.#openEmbedded() : this.#openFile(path);
  }

  #pathFromEnvironment(): string | undefined {
    const { variable } = this.#options;
    const { state } = Deno.permissions.querySync({ name: "env", variable });
    return state === "granted" ? Deno.env.get(variable) || undefined : undefined;
  }

  #openFile(path: string): unknown {
    const { owner, api, abi, symbols } = this.#options;
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
    return Deno.dlopen(path, symbols).symbols;
  }

  /** Nothing is written to a disk, where somebody else might change it before it is loaded with our privileges. */
  #openEmbedded(): unknown {
    const { api, symbols } = this.#options;
    const asFile = `write ${api.bytes} to a file`, byPath = `name it with ${api.setPath}`;
    const bytes = this.bytes();
    let libc: ReturnType<typeof openLibc>;
    try {
      libc = openLibc();
    } catch (cause) {
      const hint = cause instanceof Deno.errors.NotCapable
        ? `run with --allow-ffi, or ${asFile}, ${byPath} and run with --allow-ffi=FILE`
        : `the C library, libc.so.6, cannot be opened; ${asFile} and ${byPath}`;
      const message = `Cannot load native library: ${hint}`;
      throw cause instanceof Deno.errors.NotCapable
        ? new Deno.errors.NotCapable(message, { cause })
        : new Deno.errors.NotSupported(message, { cause });
    }
    const number = (result: Uint8Array<ArrayBuffer>) => new Int32Array(result.buffer)[0]!;
    const call = libc.symbols;
    const fd = number(call.memfd_create(new TextEncoder().encode("bpf_link\0"), MFD_CLOEXEC | MFD_ALLOW_SEALING));
    try {
      const written = number(call.write(fd, bytes, BigInt(bytes.length)));
      const sealed = number(call.fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
      if (written !== bytes.length || sealed !== 0) {
        throw new Deno.errors.NotSupported(
          `Cannot load native library: this system makes no sealed memory file; ${asFile} and ${byPath}`,
        );
      }
      return Deno.dlopen(`/proc/self/fd/${fd}`, symbols).symbols;
    } finally {
      call.close(fd);
      libc.close();
    }
  }
}

/** Other runtimes may import the package, for a part of their program that runs elsewhere; they cannot call it. */
function checkRuntime(owner: string): void {
  if (typeof Deno !== "undefined") return;
  throw new Error(
    `Cannot load native library: ${owner} works under Deno only; this is another runtime; see https://deno.com`,
  );
}

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

/** A struct as result keeps Deno from compiling a fast path for functions that are called once (0.2 ms each). */
const LIBC = {
  memfd_create: { parameters: ["buffer", "u32"], result: { struct: ["i32"] } },
  write: { parameters: ["i32", "buffer", "usize"], result: { struct: ["i32"] } },
  fcntl: { parameters: ["i32", "i32", "i32"], result: { struct: ["i32"] } },
  close: { parameters: ["i32"], result: { struct: ["i32"] } },
} as const;

type OnAnotherThread = (command: number, request: Uint8Array<ArrayBuffer>, length: number) => Promise<number>;

/** The functions of the native library. */
export type Native = Deno.DynamicLibrary<typeof symbols>["symbols"] & {
  bpf_link_bpf_async: OnAnotherThread;
  bpf_link_system_async: OnAnotherThread;
  bpf_link_ring_async: (
    ...args: Parameters<Deno.DynamicLibrary<typeof symbols>["symbols"]["bpf_link_ring"]>
  ) => Promise<number>;
};

const core = new NativeLibrary<Native>({
  owner: "@bpf/link",
  variable: "BPF_LINK_LIBRARY",
  api: { setPath: "setLibraryPath()", bytes: "libraryBytes()" },
  symbols: {
    ...symbols,
    // A second row of the same symbol runs it on a thread of Deno's pool.
    bpf_link_bpf_async: { ...symbols.bpf_link_bpf, name: "bpf_link_bpf", nonblocking: true },
    bpf_link_system_async: { ...symbols.bpf_link_system, name: "bpf_link_system", nonblocking: true },
    bpf_link_ring_async: { ...symbols.bpf_link_ring, name: "bpf_link_ring", nonblocking: true },
  },
  abi: { symbol: "bpf_link_abi", version: numbers.abi.VERSION },
  embedded,
});

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
 * @example A grant for one path
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
 */
export function libraryBytes(): Uint8Array<ArrayBuffer> {
  return core.bytes();
}
