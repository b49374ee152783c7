/** Looks at the process and the kernel, after a refusal, to say what it was really for. */
import type { Explanation } from "../error.ts";
import { btfFind } from "../ffi/btf.ts";
import { Request } from "../ffi/request.ts";
import { type CAPABILITIES, isOlderThan, missingCapabilities } from "../os/capabilities.ts";
import { close } from "../os/files.ts";
import { explain } from "../refusal.ts";
import { Command } from "../uapi/constants.ts";
import { EACCES, EPERM } from "../uapi/errno.ts";
import { prog_load } from "../uapi/layout.ts";
import { type AttachType, attachTypeNumber, type ProgramType, programTypeNumber } from "../uapi/types.ts";
import { tooOld } from "./type/mod.ts";

/** What the refusal of a command means that needs no capability; before Linux 5.19 each could need CAP_BPF. */
export function explainFree(command: string, errno: number): Explanation {
  const lacking = errno === EPERM && isOlderThan("5.19") ? missingCapabilities(["CAP_BPF"]) : undefined;
  return lacking ?? explain(command, errno);
}

/** What a refused PROG_LOAD means. `log` is the verifier's: empty if it never ran. */
export function explainProgLoad(
  errno: number,
  log: string,
  type: ProgramType,
  attachType: AttachType | undefined,
): Explanation {
  const known = explain("PROG_LOAD", errno);
  if (log !== "") return known.reason === "policy" ? explain("PROG_LOAD", EACCES) : known;
  if (known.reason === "policy") {
    return missingCapabilities(capabilitiesFor(type)) ?? refusedKind(type, attachType) ?? known;
  }
  return known.reason === "invalid" && attachType !== undefined ? tooOld(attachType) ?? known : known;
}

const TRACING_PROGRAMS: readonly ProgramType[] = [
  "kprobe",
  "tracepoint",
  "perf_event",
  "raw_tracepoint",
  "raw_tracepoint_writable",
  "tracing",
  "lsm",
  "struct_ops",
];
const OTHER_PROGRAMS: readonly ProgramType[] = ["socket_filter", "sk_reuseport", "sk_lookup", "syscall"];

/** What loading a program of this type takes. */
function capabilitiesFor(type: ProgramType): (keyof typeof CAPABILITIES)[] {
  if (TRACING_PROGRAMS.includes(type)) return ["CAP_BPF", "CAP_PERFMON"];
  if (OTHER_PROGRAMS.includes(type)) return ["CAP_BPF"];
  return type === "ext" ? ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"] : ["CAP_BPF", "CAP_NET_ADMIN"];
}

/** Why a program is refused by who has all capabilities for it; undefined if nothing tells. */
function refusedKind(type: ProgramType, attachType: AttachType | undefined): Explanation | undefined {
  if (capabilitiesFor(type).includes("CAP_PERFMON") && iteratorLoads()) {
    const kind = attachType === undefined ? `program type ${type}` : `attach type ${attachType}`;
    return {
      reason: "policy",
      meaning: `kernel refuses ${kind} by policy; privileges are sufficient`,
      hint: "hardened kernels refuse programs that patch code; kprobe, tp_btf and raw_tracepoint programs patch none",
    };
  }
  if (!isOlderThan("5.11")) return undefined;
  return {
    reason: "limit",
    meaning: "the process may not lock more memory",
    hint: "before Linux 5.11 programs and maps count against RLIMIT_MEMLOCK: raise it",
  };
}

// r0 = 0; exit
const NOTHING = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);

/** The control experiment: a tracing program that patches no code, and takes the same capabilities as those that do. */
function iteratorLoads(): boolean {
  let attachBtfId: number | undefined;
  try {
    attachBtfId = btfFind("function", "bpf_iter_task");
  } catch {
    return false; // a kernel without BTF has none of these programs
  }
  const request = new Request(prog_load.attach_prog_fd, 192) // all before
    .u32(prog_load.prog_type, programTypeNumber("tracing", "type"))
    .u32(prog_load.insn_cnt, NOTHING.length / 8)
    .u32(prog_load.expected_attach_type, attachTypeNumber("trace_iter", "attachType"))
    .u32(prog_load.attach_btf_id, attachBtfId ?? 0);
  request.data(prog_load.insns, NOTHING);
  request.string(prog_load.license, "GPL");
  const fd = request.bpf(Command.PROG_LOAD);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

const NETWORK_MAPS = ["sockmap", "sockhash", "devmap", "devmap_hash", "xskmap"];

/** What a refused MAP_CREATE means. */
export function explainMapCreate(errno: number, type: string, log: string): Explanation {
  const known = explain("MAP_CREATE", errno);
  if (log !== "") return { ...known, hint: `the kernel says: ${log}` };
  if (known.reason !== "policy") return known;
  return missingCapabilities(NETWORK_MAPS.includes(type) ? ["CAP_BPF", "CAP_NET_ADMIN"] : ["CAP_BPF"]) ?? known;
}
