/** Looks at the process and the kernel, after a refusal, to say what it was really for. */
import type { Explanation } from "../error.ts";
import { explain } from "../hint.ts";
import { ATTACH_TYPES } from "../uapi/constants.ts";
import { readTextFile } from "./system.ts";

const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 } as const;

/** Since which kernel a link type is there. */
const SINCE: Readonly<Record<string, string>> = {
  cgroup: "5.7",
  iter: "5.8",
  netns: "5.8",
  xdp: "5.9",
  tracing: "5.7",
  perf_event: "5.15",
  kprobe_multi: "5.18",
  netfilter: "6.4",
  struct_ops: "6.4",
  tcx: "6.6",
  uprobe_multi: "6.6",
  netkit: "6.7",
  sockmap: "6.10",
};

/** The type of the link that LINK_CREATE makes for an attach type. */
export function linkTypeOf(attachType: number): string {
  const name = ATTACH_TYPES[attachType] ?? "unknown";
  if (name.startsWith("cgroup_") || name === "lsm_cgroup") return "cgroup";
  if (name === "sk_lookup" || name === "flow_dissector") return "netns";
  if (name === "trace_iter") return "iter";
  if (name.startsWith("tcx_")) return "tcx";
  if (name.startsWith("netkit_")) return "netkit";
  if (name.startsWith("sk_")) return "sockmap";
  if (name.startsWith("trace_kprobe_")) return "kprobe_multi";
  if (name.startsWith("trace_uprobe_")) return "uprobe_multi";
  if (name.startsWith("trace_") || name === "modify_return" || name === "lsm_mac") return "tracing";
  return name;
}

/** What a refused LINK_CREATE means. */
export function explainLinkCreate(errno: number, attachType: number): Explanation {
  const type = linkTypeOf(attachType);
  const known = explain("LINK_CREATE", errno, type);
  if (known.reason === "policy") return missing(["CAP_NET_ADMIN"]) ?? known;
  const since = SINCE[type];
  if (since !== undefined && (known.reason === "invalid" || known.reason === "unsupported") && olderThan(since)) {
    return {
      reason: "unsupported",
      meaning: `this kernel has no ${type} links`,
      hint: `they came with Linux ${since}; this is ${release()}`,
    };
  }
  return known;
}

/** What a refused PROG_LOAD means. `log` is the verifier's: empty if it never ran. */
export function explainProgLoad(errno: number, log: string, type: string): Explanation {
  const known = explain("PROG_LOAD", errno);
  return known.reason === "policy" && log === "" ? missing(capabilitiesFor(type)) ?? known : known;
}

const TRACING_PROGRAMS = [
  "kprobe",
  "tracepoint",
  "perf_event",
  "raw_tracepoint",
  "raw_tracepoint_writable",
  "tracing",
  "lsm",
  "ext",
];
const UNPRIVILEGED_PROGRAMS = ["socket_filter"];

/** What loading a program of this type takes. */
function capabilitiesFor(type: string): (keyof typeof CAPABILITIES)[] {
  if (TRACING_PROGRAMS.includes(type)) return ["CAP_BPF", "CAP_PERFMON"];
  return UNPRIVILEGED_PROGRAMS.includes(type) ? ["CAP_BPF"] : ["CAP_BPF", "CAP_NET_ADMIN"];
}

/** The explanation, if the process lacks one of `needed`; CAP_SYS_ADMIN stands in for the others. */
function missing(needed: readonly (keyof typeof CAPABILITIES)[]): Explanation | undefined {
  const held = BigInt("0x" + (/^CapEff:\s*([0-9a-f]+)/m.exec(statusFile())?.[1] ?? "0"));
  const has = (name: keyof typeof CAPABILITIES) => (held >> BigInt(CAPABILITIES[name]) & 1n) === 1n;
  const lacking = has("CAP_SYS_ADMIN") ? [] : needed.filter((name) => !has(name));
  if (lacking.length === 0) {
    return inInitialUserNamespace() ? undefined : {
      reason: "capability",
      meaning: "its capabilities count only in its own user namespace",
      hint: "run it outside of the container's user namespace, or load with a token",
    };
  }
  return {
    reason: "capability",
    meaning: `the process lacks ${lacking.join(" and ")}`,
    hint: "run as root, or give the process these capabilities",
  };
}

/** The initial user namespace maps every id to itself. */
function inInitialUserNamespace(): boolean {
  return /^\s*0\s+0\s+4294967295\s*$/.test(orEmpty("/proc/self/uid_map"));
}

function statusFile(): string {
  return orEmpty("/proc/self/status");
}

function release(): string {
  return orEmpty("/proc/sys/kernel/osrelease").trim();
}

/** Kernels carry backports, so a version explains a refusal, but never decides what is tried. */
function olderThan(version: string): boolean {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = version.split(".").map(Number);
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
}

function orEmpty(path: string): string {
  try {
    return readTextFile(path);
  } catch {
    return ""; // /proc may be hidden; the errno still says what it says
  }
}
