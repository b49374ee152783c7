/** The table of the conformance run: one row a kind of link. What is special about a kind beyond this has a test file of its own. */
import { btfFind } from "../../lib/ffi/btf.ts";
import {
  type AnyLink,
  type AttachTarget,
  type AttachType,
  BpfMap,
  Link,
  type LinkType,
  type Program,
  type ProgramLoadOptions,
} from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { CgroupSockets } from "../fixture/place/cgroup_sockets.ts";
import { HardLinks } from "../fixture/place/hard_links.ts";
import { Loopback } from "../fixture/place/loopback.ts";
import { NetkitPair } from "../fixture/place/netkit.ts";
import { Resident } from "../fixture/place/resident.ts";
import { SocketPair } from "../fixture/place/socket_pair.ts";
import { Victim } from "../fixture/place/victim.ts";
import { extension, JUDGE, JUDGE_ID, linkGuard, replaceable, sendGuard, tracer } from "../fixture/program/functions.ts";
import { AT_EXEC, kernelAddress } from "../fixture/program/kernel_functions.ts";
import {
  answering,
  cgroupEgress,
  flowDissector,
  netfilter,
  rawTracepoint,
  skLookup,
  skMsg,
  taskIterator,
  tcx,
  VERDICT,
  xdp,
} from "../fixture/program/programs.ts";
import { isOlder, type Need } from "../fixture/run/kernel.ts";
import { netnsIno } from "../fixture/run/own.ts";
import { countRuns, runsWhileBusy } from "../fixture/run/runs.ts";

/** A kind of link, as the conformance run sees it. */
export interface Row {
  readonly name: string;
  readonly type: LinkType;
  readonly needs: readonly Need[];
  /** A program for it: one whose effect can be seen (where `Place.blocks` is there to see it), or one without. */
  program(effect: "block" | "pass"): Program;
  /** A program that this kind refuses. */
  misfit(): Program;
  readonly hasUpdate: boolean;
  readonly hasDetach: boolean;
  /** The kernel does not report of a detached link that it is one. */
  readonly hidesDetachment?: true;
  /** A place takes one link, which cannot be ended by force. */
  readonly takesOne?: true;
  /** Makes something to attach to; it is gone at the end of the scope. */
  place(): Place | Promise<Place>;
}

/** What a link is attached to. */
export interface Place extends AsyncDisposable {
  readonly target: AttachTarget;
  /** What info must tell besides id, type and program. */
  readonly info: Record<string, unknown>;
  /** What info tells too where the kernel is new enough; a value, or what holds of it. */
  readonly newInfo?: Record<string, unknown>;
  /** `info` once detached; only where there is a detach. */
  readonly detachedInfo?: Record<string, unknown>;
  /** Whether a blocking program runs here now. Some kinds need the link to provoke it. */
  readonly blocks?: (link: AnyLink | undefined) => boolean | Promise<boolean>;
}

const LO = 1;
const KERNEL_BTF_ID = 1; // the kernel's own types are the first

/** What a function's answer means where an errno is expected. */
const GUARD = { block: -1, pass: 0 } as const;

/** All kinds. */
export const ROWS: readonly Row[] = [
  {
    name: "cgroup",
    type: "cgroup",
    needs: ["cgroup2"],
    program: (effect) => cgroupEgress(VERDICT.cgroup[effect]),
    misfit: xdp,
    hasUpdate: true,
    hasDetach: true,
    place(): Place {
      const stack = new AsyncDisposableStack();
      const cgroup = stack.use(new Cgroup());
      const sockets = stack.use(new CgroupSockets(cgroup));
      return place(stack, {
        target: { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" },
        info: { cgroupId: cgroup.id, attachType: "cgroup_inet_egress" },
        detachedInfo: { cgroupId: 0n, attachType: "cgroup_inet_egress" },
        blocks: async () => !await sockets.passes(),
      });
    },
  },
  {
    name: "xdp",
    type: "xdp",
    needs: ["netns"],
    program: (effect) => xdp(VERDICT.xdp[effect]),
    misfit: tcx,
    hasUpdate: true,
    hasDetach: true,
    place: () =>
      onLoopback({
        target: { type: "xdp", device: "lo", mode: "generic" },
        info: { ifindex: LO },
        detachedInfo: { ifindex: 0 },
      }),
  },
  {
    name: "tcx",
    type: "tcx",
    needs: ["netns"],
    program: (effect) => tcx(VERDICT.tcx[effect]),
    misfit: xdp,
    hasUpdate: true,
    hasDetach: true,
    place: () =>
      onLoopback({
        target: { type: "tcx", device: LO, direction: "ingress" },
        info: { ifindex: LO, attachType: "tcx_ingress" },
        detachedInfo: { ifindex: 0, attachType: "tcx_ingress" },
      }),
  },
  {
    name: "netns (sk_lookup)",
    type: "netns",
    needs: ["netns"],
    program: (effect) => skLookup(VERDICT.sk_lookup[effect]),
    misfit: xdp,
    hasUpdate: true,
    hasDetach: true,
    place: () =>
      onLoopback({
        target: { type: "netns" },
        info: { netnsIno: netnsIno(), attachType: "sk_lookup" },
        detachedInfo: { netnsIno: 0, attachType: "sk_lookup" },
      }),
  },
  {
    name: "netns (flow_dissector)",
    type: "netns",
    needs: ["netns"],
    program: flowDissector,
    misfit: xdp,
    hasUpdate: true,
    hasDetach: true,
    place: () =>
      place(new AsyncDisposableStack(), {
        target: { type: "netns", netns: "/proc/self/ns/net", attachType: "flow_dissector" },
        info: { netnsIno: netnsIno(), attachType: "flow_dissector" },
        detachedInfo: { netnsIno: 0, attachType: "flow_dissector" },
      }),
  },
  {
    name: "iter",
    type: "iter",
    needs: [],
    program: (effect) => taskIterator(effect === "block" ? "b" : "p"),
    misfit: xdp,
    hasUpdate: true,
    hasDetach: false,
    place: () =>
      place(new AsyncDisposableStack(), {
        target: { type: "iter" },
        info: { targetName: "task" },
        blocks: (link) => link !== undefined && new TextDecoder().decode((link as Link<"iter">).read()).startsWith("b"),
      }),
  },
  {
    name: "iter (elements of a map)",
    type: "iter",
    needs: ["writable iterators"],
    program: (effect) => taskIterator(effect === "block" ? "b" : "p", "bpf_map_elem"),
    misfit: xdp,
    hasUpdate: true,
    hasDetach: false,
    place(): Place {
      const stack = new AsyncDisposableStack();
      const map = stack.use(BpfMap.create({ type: "hash", keySize: 4, valueSize: 4, maxEntries: 3 }));
      map.update(new Uint8Array(4), new Uint8Array(4));
      return place(stack, {
        target: { type: "iter", map },
        info: { targetName: "bpf_map_elem", mapId: map.id },
        blocks: (link) => link !== undefined && new TextDecoder().decode((link as Link<"iter">).read()) === "bb", // and at the end
      });
    },
  },
  {
    name: "sockmap",
    type: "sockmap",
    needs: ["netns"],
    program: (effect) => skMsg(VERDICT.sk_msg[effect]),
    misfit: xdp,
    hasUpdate: true,
    hasDetach: true,
    async place(): Promise<Place> {
      const stack = new AsyncDisposableStack();
      const pair = stack.use(await SocketPair.open());
      return place(stack, {
        target: { type: "sockmap", map: pair.map, attachType: "sk_msg_verdict" },
        info: { mapId: pair.map.id, attachType: "sk_msg_verdict" },
        detachedInfo: { mapId: 0, attachType: "sk_msg_verdict" },
        blocks: async () => !await pair.sends(),
      });
    },
  },
  {
    name: "raw_tracepoint",
    type: "raw_tracepoint",
    needs: [],
    program: rawTracepoint,
    misfit: xdp,
    hasUpdate: false,
    hasDetach: false,
    place: () =>
      place(new AsyncDisposableStack(), {
        target: { type: "raw_tracepoint", name: "oom_score_adj_update" },
        info: { name: "oom_score_adj_update" },
        newInfo: { cookie: 0n },
      }),
  },
  {
    name: "tp_btf",
    type: "raw_tracepoint",
    needs: [],
    program: () => tracer("trace_raw_tp", "oom_score_adj_update"),
    misfit: xdp,
    hasUpdate: false,
    hasDetach: false,
    place: () =>
      place(new AsyncDisposableStack(), {
        target: { type: "tp_btf" },
        info: { name: "oom_score_adj_update" },
        newInfo: { cookie: 0n },
      }),
  },
  {
    name: "lsm_cgroup",
    type: "cgroup",
    needs: ["cgroup2", "lsm_cgroup", "lsm"],
    program: (effect) => sendGuard(VERDICT.cgroup[effect]),
    misfit: cgroupEgress,
    hasUpdate: true,
    hasDetach: true,
    place(): Place {
      const stack = new AsyncDisposableStack();
      // Without CVE-2026-23319's fix a kernel crashes if the next link at a hook comes before it has freed the last one.
      const lasting = stack.use(sendGuard(VERDICT.cgroup.pass)), elsewhere = stack.use(new Cgroup());
      stack.use(Link.attach(lasting, { type: "cgroup", cgroup: elsewhere.path }));
      const cgroup = stack.use(new Cgroup());
      // the kernel goes by the process that sends, not by where its socket was made
      const resident = stack.use(new Resident(cgroup));
      return place(stack, {
        target: { type: "cgroup", cgroup: cgroup.path },
        info: { cgroupId: cgroup.id, attachType: "lsm_cgroup" },
        detachedInfo: { cgroupId: 0n, attachType: "lsm_cgroup" },
        blocks: async () => !await resident.passes(),
      });
    },
  },
  {
    name: "netkit",
    type: "netkit",
    needs: ["netns", "netkit"],
    program: (effect) => tcx(VERDICT.tcx[effect]),
    misfit: xdp,
    hasUpdate: true,
    hasDetach: true,
    place(): Place {
      const stack = new AsyncDisposableStack();
      const pair = stack.use(new NetkitPair());
      return place(stack, {
        target: { type: "netkit", device: pair.primary },
        info: { ifindex: pair.ifindex(pair.primary), attachType: "netkit_primary" },
        detachedInfo: { ifindex: 0, attachType: "netkit_primary" },
        blocks: () => pair.drops(pair.primary),
      });
    },
  },
  {
    name: "netfilter",
    type: "netfilter",
    needs: ["netns"],
    program: (effect) => netfilter(VERDICT.netfilter[effect]),
    misfit: xdp,
    hasUpdate: false,
    hasDetach: true,
    hidesDetachment: true,
    place(): Promise<Place> {
      const where = { family: "ipv4", hook: "local_in", priority: -5 } as const;
      return onLoopback({
        target: { type: "netfilter", ...where },
        info: where,
        newInfo: { defragment: false },
        detachedInfo: where,
      });
    },
  },
  ...(["trace_fentry", "trace_fexit"] as const).map((attachType): Row => ({
    name: `tracing (${attachType})`,
    type: "tracing",
    needs: [attachType === "trace_fentry" ? "trampolines" : attachType],
    program: () => tracer(attachType, "security_inode_link"),
    misfit: xdp,
    hasUpdate: false,
    hasDetach: false,
    place: () => place(new AsyncDisposableStack(), { target: { type: "tracing" }, ...tracingInfo(attachType) }),
  })),
  ...(["modify_return", "lsm_mac"] as const).map((attachType): Row => ({
    name: `tracing (${attachType})`,
    type: "tracing",
    needs: [attachType, "vm", ...attachType === "lsm_mac" ? ["lsm"] as const : []], // "block" is for every process
    program: (effect) => linkGuard(attachType, GUARD[effect]),
    misfit: xdp,
    hasUpdate: false,
    hasDetach: false,
    place(): Place {
      const stack = new AsyncDisposableStack();
      const files = stack.use(new HardLinks());
      return place(stack, {
        target: { type: "tracing" },
        ...tracingInfo(attachType),
        blocks: () => !files.canLink(),
      });
    },
  })),
  {
    name: "tracing (ext)",
    type: "tracing",
    needs: ["ext", "netns"],
    program: (effect) => extension(VERDICT.xdp[effect]),
    misfit: xdp,
    hasUpdate: false,
    hasDetach: false,
    takesOne: true,
    async place(): Promise<Place> {
      const stack = new AsyncDisposableStack();
      const loopback = stack.use(await Loopback.open());
      const target = stack.use(replaceable());
      stack.use(Link.attach(target, { type: "xdp", device: "lo", mode: "generic" }));
      return place(stack, {
        target: { type: "tracing", replace: { program: target, symbol: JUDGE } },
        info: { attachType: "cgroup_inet_ingress" },
        newInfo: { targetObjectId: target.id, targetBtfId: JUDGE_ID, cookie: 0n },
        blocks: async () => !await loopback.passes(),
      });
    },
  },
  {
    name: "perf_event",
    type: "perf_event",
    needs: [],
    program: () => answering(0, { type: "perf_event" }),
    misfit: xdp,
    hasUpdate: false,
    hasDetach: false,
    place: () =>
      place(new AsyncDisposableStack(), {
        target: {
          type: "perf_event",
          event: { type: "software", config: "cpu_clock", pid: OWN_THREAD, samplePeriod: 100_000n },
        },
        // the kernel reports the unit that stands behind software events
        info: eventInfo({ event: "event", eventType: CPU_CLOCK_UNIT, config: 0n }),
        newInfo: { cookie: 0n },
        blocks: (link) => link !== undefined && runsWhileBusy(link.info().programId!),
      }),
  },
  probed("tracepoint", {
    program: { type: "tracepoint" },
    place: () => ({
      target: { type: "tracepoint", category: "sched", name: "sched_process_exec" },
      info: eventInfo({ event: "tracepoint", name: "sched_process_exec" }),
      newInfo: { cookie: 0n },
    }),
  }),
  ...(["kprobe", "kretprobe"] as const).map((event) =>
    probed(event, {
      needs: ["kprobe"],
      place: () => ({
        target: { type: "kprobe", symbol: AT_EXEC, retprobe: event === "kretprobe" },
        info: eventInfo({ event, symbol: AT_EXEC, offset: 0 }),
        newInfo: { address: isProbeOf(kernelAddress(AT_EXEC)), missed: 0, cookie: 0n },
      }),
    })
  ),
  ...(["uprobe", "uretprobe"] as const).map((event) =>
    probed(event, {
      place: ({ path, work }) => ({
        target: { type: "uprobe", path, symbol: "work", retprobe: event === "uretprobe" },
        info: eventInfo({ event, path, offset: work }),
        newInfo: { cookie: 0n },
      }),
    })
  ),
  ...(["trace_kprobe_multi", "trace_kprobe_session"] as const).map((expectedAttachType) =>
    probed(expectedAttachType, {
      linkType: "kprobe_multi",
      needs: ["fprobe"],
      program: { type: "kprobe", expectedAttachType },
      place: () => ({
        target: {
          type: "kprobe_multi",
          symbols: [AT_EXEC],
          cookies: [7n],
          session: expectedAttachType === "trace_kprobe_session",
        },
        info: { count: 1, retprobe: false, addresses: [{ address: kernelAddress(AT_EXEC), cookie: 7n }] },
        newInfo: { missed: 0 },
      }),
    })
  ),
  ...(["trace_uprobe_multi", "trace_uprobe_session"] as const).map((expectedAttachType) =>
    probed(expectedAttachType, {
      linkType: "uprobe_multi",
      program: { type: "kprobe", expectedAttachType },
      place: ({ path, work }) => ({
        target: {
          type: "uprobe_multi",
          path,
          symbols: ["work"],
          cookies: [7n],
          session: expectedAttachType === "trace_uprobe_session",
        },
        info: { path, count: 1, retprobe: false, offsets: [{ offset: work, cookie: 7n }] },
      }),
    })
  ),
];

/** A kind whose program can be seen to run whenever a process of the test's own begins. */
function probed(
  name: string,
  { linkType = "perf_event", needs = [], program = { type: "kprobe" }, place: placeFor }: {
    linkType?: LinkType;
    needs?: readonly Need[];
    program?: Omit<ProgramLoadOptions, "instructions">;
    place(victim: Victim): Pick<Place, "target" | "info" | "newInfo">;
  },
): Row {
  return {
    name,
    type: linkType,
    needs,
    program: () => answering(0, program),
    misfit: xdp,
    hasUpdate: false,
    hasDetach: false,
    place(): Place {
      const stack = new AsyncDisposableStack();
      const victim = stack.use(new Victim());
      return place(stack, {
        ...placeFor(victim),
        blocks: (link) => link !== undefined && countRuns(link.info().programId!, () => victim.run()) > 0,
      });
    },
  };
}

const OWN_THREAD = 0, CPU_CLOCK_UNIT = 6;

/** What info tells of a perf event; before Linux 6.6 nothing. */
function eventInfo(info: Record<string, unknown>): Record<string, unknown> {
  return isOlder(Deno.osRelease(), "6.6") ? { event: "unknown" } : info;
}

/** Whether a probe belongs to a function: it is put behind the ENDBR that one may begin with. */
function isProbeOf(address: bigint): (probe: bigint) => boolean {
  return (probe) => probe === address || probe === address + 4n;
}

/** What info tells of a link to a function of the kernel. */
function tracingInfo(attachType: AttachType): Pick<Place, "info" | "newInfo"> {
  const name = attachType === "lsm_mac" ? "bpf_lsm_inode_link" : "security_inode_link";
  return {
    info: { attachType },
    newInfo: { targetObjectId: KERNEL_BTF_ID, targetBtfId: btfFind("function", name), cookie: 0n },
  };
}

function place(stack: AsyncDisposableStack, rest: Omit<Place, typeof Symbol.asyncDispose>): Place {
  return { ...rest, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** A place on the test's own lo: what blocks there stops its traffic. */
async function onLoopback(rest: Omit<Place, "blocks" | typeof Symbol.asyncDispose>): Promise<Place> {
  const stack = new AsyncDisposableStack();
  const loopback = stack.use(await Loopback.open());
  return place(stack, { ...rest, blocks: async () => !await loopback.passes() });
}
