/** The file of a compiled object: reading it, and saying what it is instead if it is none. */
import { bytesOf, checkPath, kindOf } from "../check.ts";
import { BpfError } from "../error.ts";
import { closeIfOpen, open, readToEnd } from "../os/files.ts";
import { ELF_MAGIC } from "../uapi/linux.ts";
import { wrongFile } from "./refusal.ts";

const LITTLE_ENDIAN = 1, RELOCATABLE = 1, EM_NONE = 0, EM_BPF = 247;
const MACHINES: Readonly<Record<number, string>> = { 3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv" };
/** What is longer is no object: a device that gives bytes without end. */
const LARGEST = 256 * 1024 * 1024;
const COMPILE = "compile the source with `clang -O2 -g -target bpf -c`";

/** The bytes of an object, and the name that it gets. */
export function toBytes(source: string | URL | ArrayBufferView): { name: string; bytes: Uint8Array<ArrayBuffer> } {
  if (ArrayBuffer.isView(source)) {
    const bytes = bytesOf(source, "source").slice(); // libbpf's copy is made of it; the caller's may be shared
    checkFile("object", bytes);
    return { name: "object", bytes };
  }
  if (typeof source !== "string" && !(source instanceof URL)) {
    throw new TypeError(`source must be a path, a file: URL or bytes, not ${kindOf(source)}`);
  }
  const path = checkPath(source, "source"), bytes = readFile(path);
  const name = path.slice(path.lastIndexOf("/") + 1).replace(/(\.bpf)?\.o$/, "") || "object";
  checkFile(path, bytes);
  return { name, bytes };
}

/** Through the native library of the core: `--allow-ffi` is enough. */
function readFile(path: string): Uint8Array<ArrayBuffer> {
  let fd;
  try {
    fd = open(path);
  } catch (cause) {
    if (!(cause instanceof BpfError && cause.code === "ENOENT")) throw cause;
    throw new Deno.errors.NotFound(`Cannot open object "${path}": there is no such file`, { cause });
  }
  try {
    return readToEnd(fd, LARGEST);
  } catch (error) {
    if (!(error instanceof BpfError && error.code === "EISDIR")) throw error;
    throw wrongFile(`Cannot open object "${path}"`, { meaning: "it is a directory", hint: "name a file in it" });
  } finally {
    closeIfOpen(fd);
  }
}

/** Says what a file is instead, where libbpf would say that it is no object; what this lets through, it judges. */
function checkFile(path: string, bytes: Uint8Array<ArrayBuffer>): void {
  const refuse = (meaning: string, hint: string) => wrongFile(`Cannot open object "${path}"`, { meaning, hint });
  if (bytes.length === 0) throw refuse("it is empty", COMPILE);
  if (bytes.length > LARGEST) throw refuse("it is larger than 256 MiB", "objects of BPF programs have some KiB");
  if (!ELF_MAGIC.every((byte, i) => bytes[i] === byte)) {
    const isBitcode = bytes[0] === 0x42 && bytes[1] === 0x43; // "BC"
    throw refuse(isBitcode ? "it is LLVM's bitcode, no ELF file" : "it is no ELF file", COMPILE);
  }
  if (bytes.length < 64) throw refuse("it is cut off: it has no whole ELF header", "copy it again");
  const view = new DataView(bytes.buffer, bytes.byteOffset), [, , , , bits, order] = bytes;
  if (bits !== 2) throw refuse("it is no 64-bit ELF file", COMPILE);
  if (order !== LITTLE_ENDIAN) {
    throw refuse("it is big-endian, and this machine is little-endian", "compile it with `-target bpfel`");
  }
  const type = view.getUint16(16, true), machine = view.getUint16(18, true);
  if (machine !== EM_BPF && machine !== EM_NONE) {
    throw refuse(`it is compiled for ${MACHINES[machine] ?? `machine ${machine}`}, not for BPF`, COMPILE);
  }
  if (type !== RELOCATABLE) throw refuse("it is no object file, but a linked one", COMPILE);
}
