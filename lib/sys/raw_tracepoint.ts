/** The command that makes links of raw tracepoints. */
import { checkFd, checkString, checkU64 } from "../check.ts";
import { Request } from "../ffi/request.ts";
import { checked, CLOSED, type Refusals } from "../refusal.ts";
import { Command } from "../uapi/constants.ts";
import { raw_tracepoint } from "../uapi/layout.ts";

/** What errnos of {@linkcode rawTracepointOpen} mean. */
export const RAW_TRACEPOINT_OPEN: Refusals = {
  command: "RAW_TRACEPOINT_OPEN",
  rows: () => ({
    ENOENT: [
      "invalid",
      "the kernel has no raw tracepoint of this name",
      "names are those of events in tracefs, without the category",
    ],
    EINVAL: [
      "invalid",
      "the program is no raw_tracepoint program, or the kernel does not know the cookie",
      "cookies came with Linux 6.10",
    ],
    EEXIST: [
      "exists",
      "the program is attached to this tracepoint already",
      "older kernels take a program once there: load it a second time",
    ],
    EBADF: CLOSED,
    EFAULT: ["invalid", "a raw_tracepoint program needs a name"],
    EPERM: ["policy", "attaching is not permitted"],
  }),
};

/** The same without a name, for the function that the program was loaded for. */
export const FUNCTION_OPEN: Refusals = {
  command: "RAW_TRACEPOINT_OPEN",
  rows: () => ({
    ...RAW_TRACEPOINT_OPEN.rows(),
    EINVAL: [
      "invalid",
      "the program was loaded for no function, or its function is unknown by now",
      "load it as trace_fentry, trace_fexit, modify_return or lsm_mac; attach an ext program again with replace",
    ],
    EBUSY: ["busy", "the program is attached to its function already, or an extension is in the way"],
    ENOENT: [
      "unsupported",
      "the program was attached to its function before",
      "load it again, or name the place with replace: before Linux 5.13 a program is attached to its function once",
    ],
    E2BIG: [
      "limit",
      "the function has all programs that it can take (38; 40 before Linux 5.12)",
      "detach one of them first",
    ],
    EFAULT: ["invalid", "the program is for a raw tracepoint by name", 'use the target { type: "raw_tracepoint" }'],
  }),
};

/**
 * Attaches a program to a raw tracepoint, or a program loaded for a BTF-typed function to that function.
 *
 * Its result is a link since Linux 5.7. {@linkcode linkCreate} refuses raw_tracepoint programs with `EINVAL`, and
 * before Linux 5.19 also those of fentry, fexit, fmod_ret, tp_btf and lsm. Wraps `bpf_raw_tracepoint_open_opts()`.
 * Needs no capability beyond what loading the program took.
 *
 * @param name The tracepoint's name without its category, as `sched_switch`; `undefined` for tracing and lsm programs,
 * which know their function.
 * @param progFd An fd of the program.
 * @param cookie What the program reads with `bpf_get_attach_cookie`; since Linux 6.10.
 * @returns An fd of the link, close-on-exec; close it with {@linkcode close}.
 * @throws {TypeError} If a value has the wrong type.
 * @throws {RangeError} If a number is out of range.
 * @throws {BpfError}
 * - `ENOENT`: the kernel has no such tracepoint; before Linux 5.13 also: the program was attached to its function before
 * - `EBUSY`: the program is attached to its function already
 * - `EEXIST`: before Linux 6.10: the raw_tracepoint program is attached to the tracepoint already
 * - `E2BIG`: the function has 38 programs; 40 before Linux 5.12
 * - `EINVAL`: the program is of another type; or a name with a tracing program; or a cookie before Linux 6.10
 * - `EFAULT`: a raw_tracepoint program without a name
 * - `EBADF`: `progFd` is not open
 * - `EMFILE`: the process has too many open files
 *
 * @example
 * ```ts
 * import { close, progLoad, rawTracepointOpen } from "@bpf/link/sys";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * const program = progLoad("raw_tracepoint", nothing);
 * const link = rawTracepointOpen("sched_process_exit", program);
 * close(link);
 * close(program);
 * ```
 */
export function rawTracepointOpen(name: string | undefined, progFd: number, cookie?: bigint): number {
  return settle(encode(name, progFd, cookie).bpf(Command.RAW_TRACEPOINT_OPEN), name);
}

/**
 * {@linkcode rawTracepointOpen} on another thread, with a duplicate of `progFd`.
 *
 * @param name As {@linkcode rawTracepointOpen}.
 * @param progFd As {@linkcode rawTracepointOpen}; it may be closed meanwhile.
 * @param cookie As {@linkcode rawTracepointOpen}.
 * @returns A promise of the link's fd.
 * @throws {BpfError} As {@linkcode rawTracepointOpen}.
 *
 * @example
 * ```ts
 * import { close, progLoad, rawTracepointOpenAsync } from "@bpf/link/sys";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * const program = progLoad("raw_tracepoint", nothing);
 * close(await rawTracepointOpenAsync("sched_process_exit", program));
 * close(program);
 * ```
 */
export async function rawTracepointOpenAsync(
  name: string | undefined,
  progFd: number,
  cookie?: bigint,
): Promise<number> {
  return settle(await encode(name, progFd, cookie).bpfAsync(Command.RAW_TRACEPOINT_OPEN), name);
}

function encode(name: string | undefined, progFd: number, cookie: bigint | undefined): Request {
  // a kernel that knows no cookie refuses the longer attr only if one is given
  const request = new Request(cookie === undefined ? raw_tracepoint.cookie : raw_tracepoint.sizeof, 160)
    .fd(raw_tracepoint.prog_fd, checkFd(progFd, "progFd"));
  if (cookie !== undefined) request.u64(raw_tracepoint.cookie, checkU64(cookie, "cookie"));
  if (name !== undefined) request.string(raw_tracepoint.name, checkString(name, "name"));
  return request;
}

function settle(result: number, name: string | undefined): number {
  return name === undefined
    ? checked(result, FUNCTION_OPEN, () => "Cannot attach program")
    : checked(result, RAW_TRACEPOINT_OPEN, () => `Cannot attach to raw tracepoint "${name}"`);
}
