/** The commands of bpf(2) on BTF: the types of the kernel, its modules and of programs. */
import { bytesOf, checkFd, checkInteger, checkKeys, checkU32 } from "../check.ts";
import { BpfError } from "../error.ts";
import { Request } from "../ffi/request.ts";
import { ADMIN, explanation, type Refusals, refused } from "../refusal.ts";
import { BPF_F_TOKEN_FD, Command, LOG_SIZE } from "../uapi/constants.ts";
import { ENOENT } from "../uapi/errno.ts";
import { bpf_btf_info, btf_load, get_id, info_by_fd } from "../uapi/layout.ts";
import { OBJ_GET_INFO_BY_FD } from "./object.ts";

/** Options of {@linkcode btfLoad}, named as in `struct bpf_btf_load_opts`. */
export interface BtfLoadOptions {
  /** A BPF token; since Linux 6.9. */
  tokenFd?: number | undefined;
  /** 1 or 2 for more of the kernel's words in a refusal's log; 1 by default, 0 for none. */
  logLevel?: number | undefined;
  /** Bytes of log to keep; 64 KiB by default. */
  logSize?: number | undefined;
}

/** What errnos of {@linkcode btfLoad} mean. */
export const BTF_LOAD: Refusals = {
  command: "BTF_LOAD",
  rows: () => ({
    EINVAL: [
      "invalid",
      "the kernel refuses the data",
      "the error's log has all of it; newer kinds of types need newer kernels",
    ],
    E2BIG: ["limit", "it has more than 16 MiB"],
    EPERM: ["capability", "it needs CAP_BPF", "run as root, or give the process CAP_BPF"],
  }),
};

/**
 * Loads BTF: the types that a program or map is described with.
 *
 * It lives until its last fd and the last program or map that was loaded with it are gone. Wraps `bpf_btf_load()`.
 * Since Linux 4.18. Needs CAP_BPF.
 *
 * @param data The BTF, as the section `.BTF` of an object file holds it.
 * @param options A token, and what to keep of the kernel's words about bad BTF.
 * @returns An fd of it, close-on-exec, for `progBtfFd` of {@linkcode progLoad}; close it with {@linkcode close}.
 * @throws {TypeError} If a value has the wrong type, or an option is unknown.
 * @throws {RangeError} If a number is out of range.
 * @throws {BpfError} with the kernel's words in `log`
 * - `EINVAL`: the data is no BTF, is damaged, or has a kind of type that this kernel does not know
 * - `E2BIG`: more than 16 MiB
 * - `EPERM`: CAP_BPF is missing
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts
 * import { btfLoad, close } from "@bpf/link/sys";
 *
 * const header = [0x0001eb9f, 24, 0, 16, 16, 5]; // 16 bytes of types, then 5 bytes of names
 * const types = [1, 0x01000000, 4, 32]; // an integer, its name at 1: 4 bytes, 32 bits
 * const names = new TextEncoder().encode("\0int\0");
 * const data = new Uint8Array([...new Uint8Array(new Uint32Array([...header, ...types]).buffer), ...names]);
 * close(btfLoad(data));
 * ```
 */
export function btfLoad(data: ArrayBufferView, options: BtfLoadOptions = {}): number {
  const bytes = bytesOf(data, "data");
  checkKeys(options, "options", ["tokenFd", "logLevel", "logSize"]);
  const { tokenFd, logLevel = 1, logSize = LOG_SIZE } = options;
  checkInteger(logLevel, "options.logLevel", 0, 15);
  checkInteger(logSize, "options.logSize", 128, 0x1fffffff);
  // kernels refuse what they do not know: more than the log's level before 6.4, a token before 6.9
  const size = tokenFd === undefined ? btf_load.btf_log_true_size : btf_load.sizeof;
  const request = new Request(size, size + bytes.length + 64).u32(btf_load.btf_size, bytes.length);
  request.data(btf_load.btf, bytes);
  if (tokenFd !== undefined) {
    request.u32(btf_load.btf_flags, BPF_F_TOKEN_FD).u32(btf_load.btf_token_fd, checkFd(tokenFd, "options.tokenFd"));
  }
  const result = request.bpf(Command.BTF_LOAD);
  if (result >= 0) return result;
  let log = "";
  if (logLevel > 0) {
    const at = request.u32(btf_load.btf_log_size, logSize).u32(btf_load.btf_log_level, logLevel)
      .room(btf_load.btf_log_buf, logSize);
    const again = request.bpf(Command.BTF_LOAD);
    if (again >= 0) return again;
    log = request.getString(at, logSize).trimEnd();
  }
  throw new BpfError(-result, {
    action: "Cannot load BTF",
    command: "BTF_LOAD",
    log,
    ...explanation(result, BTF_LOAD),
  });
}

/** What errnos of {@linkcode btfGetNextId} mean. */
export const BTF_GET_NEXT_ID: Refusals = {
  command: "BTF_GET_NEXT_ID",
  rows: () => ({
    EPERM: ADMIN,
    EINVAL: ["invalid", "the id is out of range"],
  }),
};

/**
 * The id of the next BTF object.
 *
 * Wraps `bpf_btf_get_next_id()`. Since Linux 5.1. Needs CAP_SYS_ADMIN in the initial user namespace. The object may be
 * gone before it is opened.
 *
 * @param startId The id to go on from; 0 for the first.
 * @returns The next id, or `undefined` at the end.
 * @throws {RangeError} If `startId` is no unsigned 32-bit number.
 * @throws {BpfError}
 * - `EPERM`: CAP_SYS_ADMIN is missing
 * - `EINVAL`: `startId` is 2 ** 31 - 1 or more
 *
 * @example
 * ```ts
 * import { btfGetFdById, btfGetInfoByFd, btfGetNextId, close } from "@bpf/link/sys";
 *
 * const id = btfGetNextId(0); // the first is the kernel's own
 * if (id !== undefined) {
 *   const fd = btfGetFdById(id);
 *   console.log(btfGetInfoByFd(fd));
 *   close(fd);
 * }
 * ```
 */
export function btfGetNextId(startId: number): number | undefined {
  const request = new Request(get_id.sizeof).u32(get_id.start_id, checkU32(startId, "startId"));
  const result = request.bpf(Command.BTF_GET_NEXT_ID);
  if (result === 0) return request.getU32(get_id.next_id);
  if (result === -ENOENT) return undefined;
  throw refused(result, BTF_GET_NEXT_ID, "Cannot list BTF objects");
}

/** What errnos of {@linkcode btfGetFdById} mean. */
export const BTF_GET_FD_BY_ID: Refusals = {
  command: "BTF_GET_FD_BY_ID",
  rows: () => ({
    EPERM: ADMIN,
    ENOENT: ["gone", "there is no such BTF object", "it is gone with the module or the last program that used it"],
  }),
};

/**
 * Opens a BTF object by its id.
 *
 * Wraps `bpf_btf_get_fd_by_id()`. Since Linux 4.18. Needs CAP_SYS_ADMIN in the initial user namespace.
 *
 * @param id The id, as {@linkcode btfGetNextId} and the infos of programs report it.
 * @returns An fd of it, close-on-exec; close it with {@linkcode close}.
 * @throws {RangeError} If `id` is no unsigned 32-bit number.
 * @throws {BpfError}
 * - `ENOENT`: no BTF object has this id
 * - `EPERM`: CAP_SYS_ADMIN is missing
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts
 * import { btfGetFdById, btfGetNextId, close } from "@bpf/link/sys";
 *
 * const id = btfGetNextId(0);
 * if (id !== undefined) close(btfGetFdById(id));
 * ```
 */
export function btfGetFdById(id: number): number {
  const result = new Request(get_id.sizeof).u32(get_id.btf_id, checkU32(id, "id"))
    .bpf(Command.BTF_GET_FD_BY_ID);
  if (result >= 0) return result;
  throw refused(result, BTF_GET_FD_BY_ID, `Cannot open BTF object ${id}`);
}

/** What the kernel reports of a BTF object: `struct bpf_btf_info`. */
export interface BtfInfo {
  /** Its id. */
  readonly id: number;
  /** How many bytes it has. */
  readonly btfSize: number;
  /** `vmlinux`, or the module's name; empty for that of programs, and before Linux 5.11. */
  readonly name: string;
  /** Whether it is of the kernel or of a module; since Linux 5.11. */
  readonly kernelBtf: boolean;
}

/**
 * Reads what the kernel reports of a BTF object.
 *
 * Wraps `bpf_btf_get_info_by_fd()`. Since Linux 4.18. Needs no capability, only the fd.
 *
 * @param btfFd An fd of it.
 * @returns Its info.
 * @throws {RangeError} If `btfFd` is no fd.
 * @throws {BpfError}
 * - `EBADFD`: `btfFd` is not open
 * - `EINVAL`: `btfFd` is no object of bpf
 *
 * @example
 * ```ts
 * import { btfGetFdById, btfGetInfoByFd, btfGetNextId, close } from "@bpf/link/sys";
 *
 * for (let id = btfGetNextId(0); id !== undefined; id = btfGetNextId(id)) {
 *   const fd = btfGetFdById(id);
 *   const { name, kernelBtf } = btfGetInfoByFd(fd);
 *   if (kernelBtf) console.log(name);
 *   close(fd);
 * }
 * ```
 */
export function btfGetInfoByFd(btfFd: number): BtfInfo {
  const { request, at } = askInfo(btfFd);
  const { btf_size, name, name_len, kernel_btf } = bpf_btf_info;
  const id = request.getU32(at + bpf_btf_info.id), nameLen = request.getU32(at + name_len);
  const info = { id, btfSize: request.getU32(at + btf_size), kernelBtf: request.getU32(at + kernel_btf) !== 0 };
  if (nameLen === 0) return { ...info, name: "" };
  let nameAt = 0;
  const named = askInfo(btfFd, (request, at) => {
    request.u32(at + btf_size, 0).u32(at + name_len, nameLen + 1);
    nameAt = request.room(at + name, 8 * (nameLen + 1)); // a kprobe_multi link's info has an array there
  });
  return { ...info, name: named.request.getString(nameAt, nameLen + 1) };
}

/** The types themselves. */
export function btfGetData(btfFd: number): Uint8Array<ArrayBuffer> {
  const { request, at } = askInfo(btfFd);
  const { btf, btf_size } = bpf_btf_info;
  const size = request.getU32(at + btf_size);
  let dataAt = 0;
  const filled = askInfo(btfFd, (request, at) => dataAt = request.u32(at + btf_size, size).room(at + btf, size));
  return filled.request.bytes(dataAt, size);
}

/** Asks with a zeroed struct, for which `prepare` may make room. */
function askInfo(
  btfFd: number,
  prepare?: (request: Request, at: number) => void,
): { request: Request; at: number } {
  const request = new Request(info_by_fd.sizeof, 256)
    .u32(info_by_fd.bpf_fd, checkFd(btfFd, "btfFd"))
    .u32(info_by_fd.info_len, bpf_btf_info.sizeof);
  const at = request.room(info_by_fd.info, bpf_btf_info.sizeof);
  prepare?.(request, at);
  const result = request.bpf(Command.OBJ_GET_INFO_BY_FD);
  if (result === 0) return { request, at };
  throw refused(result, OBJ_GET_INFO_BY_FD, `Cannot read info of BTF (fd ${btfFd})`);
}
