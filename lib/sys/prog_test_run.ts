/** PROG_TEST_RUN: a program is run by hand. */
import { bytesOf, checkFd, checkInteger, checkKeys, checkU32, keysOf } from "../check.ts";
import { Request } from "../ffi/request.ts";
import { checked, CLOSED, type Refusals } from "../refusal.ts";
import { Command } from "../uapi/constants.ts";
import { test } from "../uapi/layout.ts";

/** Options of {@linkcode progTestRun}, named as in `struct bpf_test_run_opts`. */
export interface ProgTestRunOptions {
  /** The packet that the program sees. */
  dataIn?: ArrayBufferView | undefined;
  /** Room for the packet as the program left it, in bytes; none of it is returned if absent or 0. */
  dataSizeOut?: number | undefined;
  /** The context: `struct xdp_md`, `struct __sk_buff`, ...; or the arguments of a tracepoint, 8 bytes each. */
  ctxIn?: ArrayBufferView | undefined;
  /** Room for the context as the program left it, in bytes; none of it is returned if absent or 0. */
  ctxSizeOut?: number | undefined;
  /** How often it runs; once if absent. */
  repeat?: number | undefined;
  /** BPF_F_TEST_RUN_ON_CPU (1) for raw tracepoints, BPF_F_TEST_XDP_LIVE_FRAMES (2). */
  flags?: number | undefined;
  /** The CPU to run on, with BPF_F_TEST_RUN_ON_CPU. */
  cpu?: number | undefined;
  /** How many frames are made at once, with BPF_F_TEST_XDP_LIVE_FRAMES. Since Linux 5.18. */
  batchSize?: number | undefined;
}

/** What {@linkcode progTestRun} returns, named as in `struct bpf_test_run_opts`. */
export interface ProgTestRun {
  /** What the program returned, as an unsigned number. */
  readonly retval: number;
  /** Nanoseconds that a run took, the mean of all; 0 for types that are not measured. */
  readonly duration: number;
  /** The packet as the program left it, as far as there was room. */
  readonly dataOut: Uint8Array<ArrayBuffer>;
  /** The context as the program left it. */
  readonly ctxOut: Uint8Array<ArrayBuffer>;
}

const OPTIONS = keysOf<ProgTestRunOptions>({
  dataIn: true,
  dataSizeOut: true,
  ctxIn: true,
  ctxSizeOut: true,
  repeat: true,
  flags: true,
  cpu: true,
  batchSize: true,
});

/** What errnos of {@linkcode progTestRun} mean. */
export const PROG_TEST_RUN: Refusals = {
  command: "PROG_TEST_RUN",
  rows: () => ({
    EBADF: CLOSED,
    EINVAL: [
      "invalid",
      "the fd is no program, or programs of this type do not run with this data, context or flags",
      "packets have 14 bytes at least; tracepoints take a context and no data",
    ],
    E2BIG: ["invalid", "the context is longer than the kernel's, and the rest is not zero"],
    ENOSPC: ["limit", "the packet or the context is longer now than the room for it", "make dataSizeOut larger"],
    ENOTSUPP: ["unsupported", "programs of this type cannot be run by hand"],
    ENXIO: ["invalid", "there is no such CPU, or it is offline"],
    EINTR: ["unsettled", "a signal ended the runs early", "run it less often, or again"],
  }),
};

/** Bytes of data or context at most: far more than the kernel takes. */
export const MOST_DATA: number = 1 << 20;

/**
 * Runs a program once, or several times in a row, on data of the caller's: for tests and measurements.
 *
 * Nothing is attached; the program really runs, with all that it does to maps. Programs of packets (socket_filter,
 * sched_cls, sched_act, cgroup_skb, xdp, lwt, flow_dissector) take data and a context, raw_tracepoint, syscall and
 * sk_lookup a context only. fentry, fexit and fmod_ret run around a function of the kernel's own. Wraps
 * `bpf_prog_test_run_opts()`.
 *
 * Since Linux 4.12; 5.10 raw_tracepoint, 5.13 sk_lookup, 5.14 syscall, 6.4 netfilter. Needs no capability, only the fd.
 *
 * @param progFd An fd of the program.
 * @param options Data, context, and how often.
 * @returns What the program returned and left, and how long it took.
 * @throws {TypeError} If an option is unknown or has the wrong type.
 * @throws {RangeError} If a number is out of range, or data or context is longer than 1 MiB.
 * @throws {BpfError}
 * - `EBADF`: `progFd` is not open
 * - `EINVAL`: `progFd` is no program; data, context or flags that programs of this type do not take, as a packet of
 *   less than 14 bytes
 * - `E2BIG`: a context that is longer than the kernel's, and the rest is not zero
 * - `ENOSPC`: the packet is longer than `dataSizeOut`; the program has run
 * - `ENOTSUPP` (524): programs of this type cannot be run by hand
 * - `ENXIO`: there is no such `cpu`
 *
 * @example
 * ```ts
 * import { close, progLoad, progTestRun } from "@bpf/link/sys";
 *
 * const pass = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return XDP_PASS
 * const program = progLoad("xdp", pass);
 * const { retval, duration } = progTestRun(program, { dataIn: new Uint8Array(64), repeat: 1000 });
 * console.log(retval); // 2
 * console.log(duration, "ns");
 * close(program);
 * ```
 */
export function progTestRun(progFd: number, options: ProgTestRunOptions = {}): ProgTestRun {
  checkFd(progFd, "progFd");
  checkKeys(options, "options", OPTIONS);
  const { dataIn, ctxIn, dataSizeOut = 0, ctxSizeOut = 0 } = options;
  const data = dataIn && bounded(bytesOf(dataIn, "options.dataIn"), "options.dataIn");
  const context = ctxIn && bounded(bytesOf(ctxIn, "options.ctxIn"), "options.ctxIn");
  checkInteger(dataSizeOut, "options.dataSizeOut", 0, MOST_DATA);
  checkInteger(ctxSizeOut, "options.ctxSizeOut", 0, MOST_DATA);
  const u32 = (key: "repeat" | "flags" | "cpu" | "batchSize") => checkU32(options[key] ?? 0, `options.${key}`);
  const request = new Request(test.sizeof).u32(test.prog_fd, progFd)
    .u32(test.repeat, u32("repeat")).u32(test.flags, u32("flags"))
    .u32(test.cpu, u32("cpu")).u32(test.batch_size, u32("batchSize"));
  if (data?.length) request.u32(test.data_size_in, data.length).data(test.data_in, data);
  if (context?.length) request.u32(test.ctx_size_in, context.length).data(test.ctx_in, context);
  const dataOut = dataSizeOut === 0 ? 0 : request.u32(test.data_size_out, dataSizeOut).room(test.data_out, dataSizeOut);
  const ctxOut = ctxSizeOut === 0 ? 0 : request.u32(test.ctx_size_out, ctxSizeOut).room(test.ctx_out, ctxSizeOut);
  checked(request.bpf(Command.PROG_TEST_RUN), PROG_TEST_RUN, () => `Cannot run program (fd ${progFd})`);
  const taken = (at: number, size: number, room: number) => request.bytes(at, Math.min(size, room)).slice();
  return {
    retval: request.getU32(test.retval),
    duration: request.getU32(test.duration),
    dataOut: taken(dataOut, request.getU32(test.data_size_out), dataSizeOut),
    ctxOut: taken(ctxOut, request.getU32(test.ctx_size_out), ctxSizeOut),
  };
}

function bounded(bytes: Uint8Array, name: string): Uint8Array {
  if (bytes.length <= MOST_DATA) return bytes;
  throw new RangeError(`${name} must have at most ${MOST_DATA} bytes, not ${bytes.length}`);
}
