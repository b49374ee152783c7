/** What this kernel and this process can do with links, found out without touching anything that exists. */
import { BpfError } from "./error.ts";
import { btfFind } from "./ffi/btf.ts";
import type { TargetType } from "./kind/mod.ts";
import { close } from "./os/files.ts";
import { readTracefs } from "./os/tracefs.ts";
import { Program, type ProgramLoadOptions } from "./program.ts";
import { linkCreate } from "./sys/link_create.ts";
import { KPROBE_OPEN, openEvent, perfEventOpen, probeType, UPROBE_OPEN } from "./sys/perf_event.ts";
import { rawTracepointOpen } from "./sys/raw_tracepoint.ts";
import type { LinkCreateOptions } from "./sys/type/mod.ts";
import { BPF_F_BEFORE } from "./uapi/constants.ts";
import type { AttachType } from "./uapi/types.ts";

/** Whether something can be done. */
export interface ProbeAnswer {
  /** `unknown` where nothing but doing it would tell. */
  answer: "yes" | "no" | "unknown";
  /** Why not, or why it is unknown. */
  reason?: string;
}

/** What can be done with links to one kind of target; see {@linkcode probe}. */
export interface TargetProbe {
  /** Making one: `Link.attach`. */
  attach: ProbeAnswer;
  /** Putting another program into one: `Link.update`. */
  update: ProbeAnswer;
  /** Ending one by force: `Link.detach`. */
  detach: ProbeAnswer;
  /** Giving the program a cookie that it can read. */
  cookie: ProbeAnswer;
  /** Choosing the place among others: `position`. */
  position: ProbeAnswer;
}

/**
 * What proves that something can be done: a call that succeeds, or fails with this errno for one argument that names
 * nothing, at which the kernel looks last; or a function that the kernel has for it.
 */
type Proof = readonly [call: (program: number) => unknown, errno?: string] | { readonly kernelFunction: string };

/** Something that can be done where all of `proofs` hold; `needs` is what it takes, for the reason of a no. */
interface Ability {
  readonly needs: string;
  readonly proofs: readonly Proof[];
}

interface Rule {
  /** A program for such links; that it loads is part of every proof. */
  readonly program: Omit<ProgramLoadOptions, "instructions">;
  readonly attach: Ability;
  /** Beyond `attach`; absent if links of this type cannot do it on any kernel. */
  readonly update?: Ability;
  readonly detach?: Ability;
  readonly position?: Ability;
  /** Since which kernel programs can read a cookie. */
  readonly cookie?: string;
}

/** As old as links of the type. */
const ALWAYS: Ability = { needs: "nothing more", proofs: [] };
const NO_TARGET = -1; // neither an fd nor an interface
const NO_FILE = "/proc/self/bpf_link_probe";
const NO_NAME = "bpf_link_probe";
const SOFTWARE = 1, TRACEPOINT = 2; // PERF_TYPE_*

const RULES: { readonly [K in TargetType]: Rule } = {
  cgroup: {
    program: { type: "cgroup_skb", expectedAttachType: "cgroup_inet_egress" },
    attach: { needs: "Linux 5.7 and CONFIG_CGROUP_BPF", proofs: [[create(NO_TARGET, "cgroup_inet_egress"), "EBADF"]] },
    update: ALWAYS,
    detach: ALWAYS,
    position: {
      needs: "Linux 6.17",
      proofs: [[create(NO_TARGET, "cgroup_inet_egress", { flags: BPF_F_BEFORE }), "EBADF"]],
    },
  },
  xdp: {
    program: { type: "xdp" },
    // the kernel says the same of a link type that it lacks; but none from 5.10 on has such programs and no such links
    attach: { needs: "Linux 5.9", proofs: [[create(NO_TARGET, "xdp"), "EINVAL"]] },
    update: ALWAYS,
    detach: ALWAYS,
  },
  tcx: {
    program: { type: "sched_cls" },
    attach: { needs: "Linux 6.6 and CONFIG_NET_XGRESS", proofs: [[create(NO_TARGET, "tcx_ingress"), "ENODEV"]] },
    update: ALWAYS,
    detach: ALWAYS,
    position: ALWAYS,
  },
  netkit: {
    program: { type: "sched_cls" },
    attach: { needs: "Linux 6.7 and CONFIG_NETKIT", proofs: [[create(NO_TARGET, "netkit_primary"), "ENODEV"]] },
    update: ALWAYS,
    detach: ALWAYS,
    position: ALWAYS,
  },
  netns: {
    program: { type: "sk_lookup", expectedAttachType: "sk_lookup" },
    attach: { needs: "Linux 5.9 and CONFIG_NET_NS", proofs: [[create(NO_TARGET, "sk_lookup"), "EBADF"]] },
    update: ALWAYS,
    detach: ALWAYS,
  },
  netfilter: {
    program: { type: "netfilter", expectedAttachType: "netfilter" },
    attach: {
      needs: "Linux 6.4 and CONFIG_NETFILTER_BPF_LINK",
      proofs: [[create(0, "netfilter", { netfilter: { pf: 0, hooknum: 0, priority: 0 } }), "EAFNOSUPPORT"]],
    },
    detach: ALWAYS,
  },
  sockmap: {
    program: { type: "sk_msg", expectedAttachType: "sk_msg_verdict" },
    attach: { needs: "Linux 6.10 and CONFIG_NET_SOCK_MSG", proofs: [[create(NO_TARGET, "sk_msg_verdict"), "EBADF"]] },
    update: ALWAYS,
    detach: ALWAYS,
  },
  iter: {
    program: { type: "tracing", expectedAttachType: "trace_iter", attachTo: "bpf_map_elem" },
    attach: { needs: "Linux 5.9", proofs: [[create(0, "trace_iter"), "EBADF"]] }, // this iterator wants a map
    update: ALWAYS,
  },
  raw_tracepoint: {
    program: { type: "raw_tracepoint" },
    attach: {
      needs: "Linux 5.7 and CONFIG_BPF_EVENTS",
      proofs: [[(program) => close(rawTracepointOpen(NO_NAME, program)), "ENOENT"]],
    },
    cookie: "6.10",
  },
  tp_btf: {
    program: { type: "tracing", expectedAttachType: "trace_raw_tp", attachTo: "sched_switch" },
    attach: { needs: "Linux 5.7 and CONFIG_BPF_EVENTS", proofs: [] },
    cookie: "6.10",
  },
  tracing: {
    program: { type: "tracing", expectedAttachType: "trace_fentry", attachTo: "vfs_read" },
    attach: {
      needs: "Linux 5.7 (6.4 on arm64) and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
      // x86_64 patches functions wherever it loads such programs; arm64 loads them before it can
      proofs: Deno.build.arch === "aarch64" ? [{ kernelFunction: "register_ftrace_direct" }] : [],
    },
    cookie: "5.19",
  },
  perf_event: {
    program: { type: "perf_event" },
    attach: {
      needs: "Linux 5.15 and CONFIG_BPF_EVENTS",
      proofs: [
        [create(NO_TARGET, "perf_event"), "EBADF"],
        [() => close(perfEventOpen({ type: SOFTWARE, config: 0n }, -1, -1)), "EINVAL"],
      ],
    },
    cookie: "5.15",
  },
  tracepoint: {
    program: { type: "tracepoint" },
    attach: {
      needs: "Linux 5.15 and CONFIG_BPF_EVENTS",
      proofs: [
        [create(NO_TARGET, "perf_event"), "EBADF"],
        [() => readTracefs(`events/${NO_NAME}/id`)],
        [() => close(perfEventOpen({ type: TRACEPOINT, config: 0n }, -1, 0)), "EINVAL"],
      ],
    },
    cookie: "5.15",
  },
  kprobe: {
    program: { type: "kprobe" },
    attach: {
      needs: "Linux 5.15 and CONFIG_KPROBE_EVENTS",
      proofs: [
        [create(NO_TARGET, "perf_event"), "EBADF"],
        [() => probeType("kprobe")],
        [openProbe("kprobe", NO_NAME), "ENOENT"],
      ],
    },
    cookie: "5.15",
  },
  uprobe: {
    program: { type: "kprobe" },
    attach: {
      needs: "Linux 5.15 and CONFIG_UPROBE_EVENTS",
      proofs: [
        [create(NO_TARGET, "perf_event"), "EBADF"],
        [() => probeType("uprobe")],
        [openProbe("uprobe", NO_FILE), "ENOENT"],
      ],
    },
    cookie: "5.15",
  },
  kprobe_multi: {
    program: { type: "kprobe", expectedAttachType: "trace_kprobe_multi" },
    attach: {
      needs: "Linux 5.18 and CONFIG_FPROBE",
      proofs: [[create(0, "trace_kprobe_multi", { kprobeMulti: { syms: [NO_NAME] } }), "ESRCH"]],
    },
    cookie: "5.18",
  },
  uprobe_multi: {
    program: { type: "kprobe", expectedAttachType: "trace_uprobe_multi" },
    attach: {
      needs: "Linux 6.6 and CONFIG_UPROBES",
      proofs: [[create(0, "trace_uprobe_multi", { uprobeMulti: { path: NO_FILE, offsets: [0n] } }), "ENOENT"]],
    },
    cookie: "6.6",
  },
  struct_ops: {
    program: { type: "struct_ops", attachTo: { struct: "tcp_congestion_ops", member: "ssthresh" } },
    attach: { needs: "Linux 6.4 and CONFIG_BPF_JIT", proofs: [{ kernelFunction: "bpf_struct_ops_link_create" }] },
    update: { needs: "Linux 6.4", proofs: [{ kernelFunction: "bpf_struct_ops_map_link_update" }] },
    detach: { needs: "Linux 6.11", proofs: [{ kernelFunction: "bpf_struct_ops_map_link_detach" }] },
  },
};

function create(target: number, attachType: AttachType, options?: LinkCreateOptions): (program: number) => void {
  return (program) => close(linkCreate(program, target, attachType, options));
}

function openProbe(kind: "kprobe" | "uprobe", place: string): () => void {
  return () => {
    const event = { type: probeType(kind).type, config: 0n, config1: place };
    close(openEvent(event, -1, 0, `Cannot open ${kind}`, kind === "kprobe" ? KPROBE_OPEN : UPROBE_OPEN));
  };
}

// r0 = 0; exit
const NOTHING = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
// call bpf_get_attach_cookie; r0 = 0; exit
const COOKIE_READER = new Uint8Array([0x85, 0, 0, 0, 174, 0, 0, 0, ...NOTHING]);

const YES: ProbeAnswer = { answer: "yes" };

/**
 * What this process can do with links on this kernel, for each kind of target.
 *
 * It looks, and touches nothing: programs that do nothing are loaded and closed again, and calls are made that must fail
 * because their target does not exist. So the answers do not depend on what is attached, and a "yes" does not promise
 * success at a given place: a driver may have no XDP, a hook may be taken, an address may not be probed. For `tracing`
 * the question is about `trace_fentry`; programs of type ext and lsm may be refused all the same. The update of a
 * `struct_ops` link also needs operations that can be updated.
 *
 * Takes some milliseconds, so ask once. It never throws for lack of privileges: then the answer is "no", with the
 * capability that is missing as reason. What cannot be attached cannot be updated either, and so on, for the same reason.
 *
 * @returns For each kind of target an answer to each question, with the reason for each "no" and "unknown".
 * @throws {Error} If the native library cannot be loaded.
 *
 * @example Choose by what there is
 * ```ts
 * import { probe } from "@bpf/link";
 *
 * const { tcx, netkit } = probe();
 * if (tcx.attach.answer !== "yes") console.log(`no tcx: ${tcx.attach.reason}`);
 * if (netkit.attach.answer === "yes") console.log("there are netkit links");
 * ```
 */
export function probe(): Record<TargetType, TargetProbe> {
  const types = Object.keys(RULES) as TargetType[];
  return Object.fromEntries(types.map((type) => [type, ask(type, RULES[type])])) as Record<TargetType, TargetProbe>;
}

function ask(type: TargetType, rule: Rule): TargetProbe {
  const program = load(rule, NOTHING);
  if (program instanceof BpfError) return refused(whyNot(program, rule.attach));
  using _ = program;
  const attach = answer(rule.attach, program);
  if (attach.answer !== "yes") return refused(attach);
  const also = (ability: Ability | undefined, what: string): ProbeAnswer =>
    ability === undefined ? no(`links of ${type} targets have no ${what}, on any kernel`) : answer(ability, program);
  return {
    attach,
    update: also(rule.update, "update"),
    detach: also(rule.detach, "detachment by force"),
    cookie: rule.cookie === undefined ? also(undefined, "cookie") : readsCookie(rule, rule.cookie),
    position: also(rule.position, "position"),
  };
}

/** What cannot be attached can do nothing else either. */
function refused(attach: ProbeAnswer): TargetProbe {
  return { attach, update: attach, detach: attach, cookie: attach, position: attach };
}

function load({ program }: Rule, instructions: Uint8Array): Program | BpfError {
  try {
    return Program.load({ ...program, instructions });
  } catch (error) {
    if (error instanceof BpfError) return error;
    throw error;
  }
}

function answer(ability: Ability, program: Program): ProbeAnswer {
  for (const proof of ability.proofs) {
    try {
      if (!("kernelFunction" in proof)) proof[0](program.fd);
      else if (btfFind("function", proof.kernelFunction) === undefined) return lacks(ability.needs);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      if ("kernelFunction" in proof || error.code !== proof[1]) return whyNot(error, ability);
    }
  }
  return YES;
}

function readsCookie(rule: Rule, since: string): ProbeAnswer {
  const program = load(rule, COOKIE_READER);
  if (program instanceof BpfError) return whyNot(program, { needs: `Linux ${since}` });
  program.close();
  return YES;
}

function whyNot(error: BpfError, { needs }: Pick<Ability, "needs">): ProbeAnswer {
  switch (error.reason) {
    case "capability":
    case "policy":
      return no(error.message);
    case "limit": // it may be otherwise in a moment
      return { answer: "unknown", reason: error.message };
    default: // whatever else a kernel says, it does not know the thing
      return lacks(needs);
  }
}

function lacks(needs: string): ProbeAnswer {
  return no(`not on this kernel: it takes ${needs}`);
}

function no(reason: string): ProbeAnswer {
  return { answer: "no", reason };
}
