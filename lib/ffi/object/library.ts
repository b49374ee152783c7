/** The second native library, which is loaded with `@bpf/link/object` alone: libbpf, behind the same kind of border. */
import { NativeLibrary } from "../library.ts";
import { numbers, symbols } from "./symbols.ts";

/** The functions of the native library. */
export type ObjectNative = Deno.DynamicLibrary<typeof symbols>["symbols"];

type ThreadSymbol = "bpf_object_load";

/** One architecture's bytes are read, and the other's by nobody. */
async function importEmbedded(): Promise<{ name: string; embedded: Record<string, string | undefined> }> {
  const embedded = { x86_64: undefined, aarch64: undefined };
  switch (typeof Deno === "undefined" ? undefined : Deno.build.arch) {
    case "x86_64": {
      const own = await import("./embedded_x86_64.ts");
      return { name: own.name, embedded: { ...embedded, x86_64: own.embedded } };
    }
    case "aarch64": {
      const own = await import("./embedded_aarch64.ts");
      return { name: own.name, embedded: { ...embedded, aarch64: own.embedded } };
    }
    default:
      return { name: "", embedded };
  }
}

const object = new NativeLibrary<ObjectNative>({
  owner: "@bpf/link/object",
  variable: "BPF_LINK_OBJECT_LIBRARY",
  api: { setPath: "setObjectLibraryPath()", bytes: "objectLibraryBytes()" },
  symbols,
  fast: ["bpf_object_read", "bpf_object_write"],
  later: [],
  onThread: ["bpf_object_load"],
  abi: { symbol: "bpf_object_abi", version: numbers.abi.VERSION },
  ...await importEmbedded(),
});

/** The functions of the native library, which is opened now if it is not yet. */
export function objectNative(): ObjectNative {
  return object.functions;
}

/** Those that are called in loops, once they were; see {@linkcode NativeLibrary.fast}. */
export function objectFast(): ObjectNative | undefined {
  return object.fast;
}

/** Calls a function of the native library on another thread, which takes what the function takes. */
export function objectOnAnotherThread<S extends ThreadSymbol>(
  symbol: S,
  ...args: Parameters<ObjectNative[S]>
): Promise<number> {
  return object.callOnThread(symbol, args);
}

/**
 * Names the file of the native library of `@bpf/link/object`, for processes that may only call into single paths
 * (`--allow-ffi=PATH,PATH`).
 *
 * Without it the file named by the environment variable `BPF_LINK_OBJECT_LIBRARY` is taken if reading that variable needs
 * no prompt, and otherwise the copy inside the package, which needs an unscoped `--allow-ffi`. The file is what
 * {@linkcode objectLibraryBytes} returns. The library of `@bpf/link` itself is needed beside it: see its
 * `setLibraryPath`.
 *
 * @param path The file, as it stands in the grant: Deno does not follow symbolic links when it compares.
 * @throws {TypeError} If `path` is neither a string nor a `file:` URL.
 * @throws {Deno.errors.Busy} If the library is open already: call this before anything else of the package.
 *
 * @example A grant for two paths, as `tests/unit/library_test` of the repository makes it
 * ```ts ignore
 * import { libraryBytes, setLibraryPath } from "@bpf/link";
 * import { objectLibraryBytes, setObjectLibraryPath } from "@bpf/link/object";
 *
 * // once, where files may be written:
 * Deno.writeFileSync("/tmp/libbpf_link.so", libraryBytes());
 * Deno.writeFileSync("/tmp/libbpf_object.so", objectLibraryBytes());
 * // later, under --allow-ffi=/tmp/libbpf_link.so,/tmp/libbpf_object.so:
 * setLibraryPath("/tmp/libbpf_link.so");
 * setObjectLibraryPath("/tmp/libbpf_object.so");
 * ```
 */
export function setObjectLibraryPath(path: string | URL): void {
  object.setPath(path);
}

/**
 * The native library of this architecture, to be written to the file that {@linkcode setObjectLibraryPath} names.
 *
 * @returns The bytes of an ELF shared object for Linux, some hundred KiB: libbpf and what it needs.
 * @throws {Deno.errors.NotSupported} On another system or architecture.
 *
 * @example Its digest, to be compared with that of a build of one's own
 * ```ts
 * import { objectLibraryBytes } from "@bpf/link/object";
 *
 * const digest = await crypto.subtle.digest("SHA-256", objectLibraryBytes());
 * console.log(new Uint8Array(digest).toHex());
 * ```
 */
export function objectLibraryBytes(): Uint8Array<ArrayBuffer> {
  return object.bytes();
}
