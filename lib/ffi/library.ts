/** Finds, verifies and opens the native library: at first use, once, for good (a call after `close()` would crash the process). */
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
import { aarch64 } from "./aarch64.ts";
import { sha256 } from "./sha256.ts";
import { shared, symbols } from "./symbols.ts";
import { x86_64 } from "./x86_64.ts";

/** The library for one architecture, as `deno task build` made it. */
export interface EmbeddedLibrary {
  readonly compiler: string;
  readonly sha256: string;
  readonly base64: string;
}

const VARIABLE = "BPF_LINK_LIBRARY";

// A second row of the same symbol runs it on a thread of Deno's pool.
const table = {
  ...symbols,
  bpf_link_bpf_async: { ...symbols.bpf_link_bpf, name: "bpf_link_bpf", nonblocking: true },
  bpf_link_system_async: { ...symbols.bpf_link_system, name: "bpf_link_system", nonblocking: true },
  bpf_link_ring_async: { ...symbols.bpf_link_ring, name: "bpf_link_ring", nonblocking: true },
} as const;

type OnAnotherThread = (command: number, request: Uint8Array<ArrayBuffer>, length: number) => Promise<number>;

/** The functions of the native library. */
export type Native = Deno.DynamicLibrary<typeof symbols>["symbols"] & {
  bpf_link_bpf_async: OnAnotherThread;
  bpf_link_system_async: OnAnotherThread;
  bpf_link_ring_async: (request: Uint8Array<ArrayBuffer>, length: number) => Promise<number>;
};

/** The native library of this package: opened at first use, once, for good. */
class NativeLibrary {
  #chosenPath: string | undefined;
  #opened: Native | undefined;

  /** Names the file to open. */
  choose(path: string): void {
    if (this.#opened !== undefined) {
      throw new Deno.errors.Busy(
        "Cannot choose the native library: it is open already; call setLibraryPath() before anything else",
      );
    }
    this.#chosenPath = path;
  }

  /** Its functions. */
  get functions(): Native {
    return this.#opened ??= this.#open();
  }

  #open(): Native {
    const path = this.#chosenPath ?? pathFromEnvironment();
    return path === undefined ? openEmbedded() : openFile(path);
  }
}

const library = new NativeLibrary();

/** The functions of the native library, which is opened now if it is not yet. */
export function native(): Native {
  return library.functions;
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
  library.choose(checkPath(path, "path"));
}

/**
 * The native library of this architecture, to be written to the file that {@linkcode setLibraryPath} names.
 *
 * @returns The bytes of an ELF shared object for Linux, some KiB.
 * @throws {Deno.errors.NotSupported} On another system or architecture.
 */
export function libraryBytes(): Uint8Array<ArrayBuffer> {
  const { base64, sha256: expected } = embedded();
  const bytes = Uint8Array.fromBase64(base64);
  const digest = sha256(bytes);
  if (digest !== expected) {
    throw new Deno.errors.InvalidData(
      `Cannot load native library: the package is damaged (sha256 ${digest}, expected ${expected}); install it again`,
    );
  }
  return bytes;
}

function embedded(): EmbeddedLibrary {
  const { os, arch } = Deno.build;
  if (os !== "linux") {
    throw new Deno.errors.NotSupported(`Cannot load native library: eBPF links exist on Linux only, this is ${os}`);
  }
  switch (arch as string) {
    case "x86_64":
      return x86_64;
    case "aarch64":
      return aarch64;
    default:
      throw new Deno.errors.NotSupported(
        `Cannot load native library: it is built for x86_64 and aarch64, this is ${arch}; build ffi/core and name the file with setLibraryPath()`,
      );
  }
}

function pathFromEnvironment(): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: VARIABLE });
  return state === "granted" ? Deno.env.get(VARIABLE) || undefined : undefined;
}

function openFile(path: string): Native {
  const is = `Cannot load native library "${path}"`;
  let probe;
  try {
    probe = Deno.dlopen(path, { bpf_link_abi: symbols.bpf_link_abi });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) {
      throw new Deno.errors.NotCapable(`${is}: calling into it is not granted; run with --allow-ffi=${path}`, {
        cause,
      });
    }
    throw new Deno.errors.InvalidData(
      `${is}: it is not the library of @bpf/link for ${Deno.build.arch}; write libraryBytes() to that path`,
      { cause },
    );
  }
  const version = probe.symbols.bpf_link_abi();
  probe.close();
  if (version !== shared.ABI) {
    throw new Deno.errors.InvalidData(
      `${is}: it has interface ${version}, this version of the package needs ${shared.ABI}; write libraryBytes() to that path`,
    );
  }
  return Deno.dlopen(path, table).symbols;
}

/** Nothing is written to a disk, where somebody else might change it before it is loaded with our privileges. */
function openEmbedded(): Native {
  const bytes = libraryBytes();
  let libc;
  try {
    // A struct as result keeps Deno from compiling a fast path for functions that are called once (0.2 ms each).
    libc = Deno.dlopen("libc.so.6", {
      memfd_create: { parameters: ["buffer", "u32"], result: { struct: ["i32"] } },
      write: { parameters: ["i32", "buffer", "usize"], result: { struct: ["i32"] } },
      fcntl: { parameters: ["i32", "i32", "i32"], result: { struct: ["i32"] } },
      close: { parameters: ["i32"], result: { struct: ["i32"] } },
    });
  } catch (cause) {
    const hint = cause instanceof Deno.errors.NotCapable
      ? "run with --allow-ffi, or write libraryBytes() to a file, name it with setLibraryPath() and run with --allow-ffi=FILE"
      : "the C library cannot be opened as libc.so.6; write libraryBytes() to a file and name it with setLibraryPath()";
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
        "Cannot load native library: this system makes no sealed memory file; write libraryBytes() to a file and name it with setLibraryPath()",
      );
    }
    return Deno.dlopen(`/proc/self/fd/${fd}`, table).symbols;
  } finally {
    call.close(fd);
    libc.close();
  }
}
