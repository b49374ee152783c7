/** The table of the conformance run: one row a kind of link. What is special about a kind beyond this has a test file of its own. */
import type { AnyLink, AttachTarget, Link, LinkType, Program } from "../../mod.ts";
import { Cgroup } from "../fixture/cgroup.ts";
import type { Need } from "../fixture/kernel.ts";
import { Loopback } from "../fixture/loopback.ts";
import { netnsIno } from "../fixture/own.ts";
import {
  cgroupEgress,
  flowDissector,
  rawTracepoint,
  skLookup,
  taskIterator,
  tcx,
  VERDICT,
  xdp,
} from "../fixture/programs.ts";
import { Resident } from "../fixture/resident.ts";

/** A kind of link, as the conformance run sees it. */
export interface Row {
  readonly name: string;
  readonly type: LinkType;
  /** The first kernel that has it. */
  readonly since: string;
  readonly needs: readonly Need[];
  /** A program for it: one whose effect can be seen (where `Place.blocks` is there to see it), or one without. */
  program(effect: "block" | "pass"): Program;
  /** A program that this kind refuses. */
  misfit(): Program;
  readonly hasUpdate: boolean;
  readonly hasDetach: boolean;
  /** Makes something to attach to; it is gone at the end of the scope. */
  place(): Place | Promise<Place>;
}

/** What a link is attached to. */
export interface Place extends AsyncDisposable {
  readonly target: AttachTarget;
  /** What info must tell besides id, type and program. */
  readonly info: Record<string, unknown>;
  /** What info tells too where the kernel is new enough. */
  readonly newInfo?: Record<string, unknown>;
  /** `info` once detached; only where there is a detach. */
  readonly detachedInfo?: Record<string, unknown>;
  /** Whether a blocking program runs here now. Some kinds need the link to provoke it. */
  readonly blocks?: (link: AnyLink | undefined) => boolean | Promise<boolean>;
}

const LO = 1;

/** All kinds. */
export const ROWS: readonly Row[] = [
  {
    name: "cgroup",
    type: "cgroup",
    since: "5.10",
    needs: ["cgroup2"],
    program: (effect) => cgroupEgress(VERDICT.cgroup[effect]),
    misfit: xdp,
    hasUpdate: true,
    hasDetach: true,
    place(): Place {
      const stack = new AsyncDisposableStack();
      const cgroup = stack.use(new Cgroup());
      const resident = stack.use(new Resident(cgroup));
      return place(stack, {
        target: { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" },
        info: { cgroupId: cgroup.id, attachType: "cgroup_inet_egress" },
        detachedInfo: { cgroupId: 0n, attachType: "cgroup_inet_egress" },
        blocks: async () => !await resident.passes(),
      });
    },
  },
  {
    name: "xdp",
    type: "xdp",
    since: "5.10",
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
    since: "6.6",
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
    since: "5.10",
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
    since: "5.10",
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
    since: "5.10",
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
    name: "raw_tracepoint",
    type: "raw_tracepoint",
    since: "5.10",
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
];

function place(stack: AsyncDisposableStack, rest: Omit<Place, typeof Symbol.asyncDispose>): Place {
  return { ...rest, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** A place on the test's own lo: what blocks there stops its traffic. */
async function onLoopback(rest: Omit<Place, "blocks" | typeof Symbol.asyncDispose>): Promise<Place> {
  const stack = new AsyncDisposableStack();
  const loopback = stack.use(await Loopback.open());
  return place(stack, { ...rest, blocks: async () => !await loopback.passes() });
}
