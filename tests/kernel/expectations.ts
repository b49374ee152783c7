/**
 * What kernels are expected to do: the one table that says which link type can do what since when, and what Debian's
 * kernels, which tests/vm runs, have or lack beyond that.
 */
import type { Need } from "../fixture/kernel.ts";
import { isOlder } from "../fixture/release.ts";

/** What can be done with a link; `reattach` is to attach a program a second time, after its first link ended. */
export const OPERATIONS = ["attach", "reattach", "update", "detach", "cookie", "position"] as const;

/** One of {@linkcode OPERATIONS}. */
export type Operation = typeof OPERATIONS[number];

/** The first kernel that can do it; what is absent none can. The oldest that we look at is 5.10. */
export type Since = { readonly [K in Operation]?: string };

/** What all kernels since this one do. */
function since(release: string, operations: readonly Operation[], later: Since = {}): Since {
  const all: readonly Operation[] = ["attach", "reattach", ...operations];
  return { ...Object.fromEntries(all.map((operation) => [operation, release])), ...later };
}

/** By the names of the rows of conformance.ts. */
export const SINCE: Readonly<Record<string, Since>> = {
  "cgroup": since("5.10", ["update", "detach"], { position: "6.17" }),
  "xdp": since("5.10", ["update", "detach"]),
  "tcx": since("6.6", ["update", "detach", "position"]),
  "netns (sk_lookup)": since("5.10", ["update", "detach"]),
  "netns (flow_dissector)": since("5.10", ["update", "detach"]),
  "iter": since("5.10", ["update"]),
  "iter (elements of a map)": since("5.10", ["update"]),
  "sockmap": since("6.10", ["update", "detach"]),
  "raw_tracepoint": since("5.10", [], { cookie: "6.10" }),
  "tp_btf": since("5.10", [], { cookie: "6.10" }),
  "lsm_cgroup": since("6.0", ["update", "detach"], { position: "6.17" }),
  "netkit": since("6.7", ["update", "detach", "position"]),
  "netfilter": since("6.4", ["detach"]),
  // by RAW_TRACEPOINT_OPEN before 5.19, which brought cookies; a program's second link came with 5.13
  "tracing (trace_fentry)": since("5.10", [], { reattach: "5.13", cookie: "5.19" }),
  "tracing (trace_fexit)": since("5.10", [], { reattach: "5.13", cookie: "5.19" }),
  "tracing (modify_return)": since("5.10", [], { reattach: "5.13", cookie: "5.19" }),
  "tracing (lsm_mac)": since("5.10", [], { reattach: "5.13", cookie: "5.19" }),
  "tracing (ext)": since("5.10", [], { cookie: "5.19" }),
  "perf_event": since("5.15", ["cookie"]),
  "tracepoint": since("5.15", ["cookie"]),
  "kprobe": since("5.15", ["cookie"]),
  "kretprobe": since("5.15", ["cookie"]),
  "uprobe": since("5.15", ["cookie"]),
  "uretprobe": since("5.15", ["cookie"]),
  "trace_kprobe_multi": since("5.18", ["cookie"]),
  "trace_kprobe_session": since("6.10", ["cookie"]),
  "trace_uprobe_multi": since("6.6", ["cookie"]),
  "trace_uprobe_session": since("6.13", ["cookie"]),
};

/** Where Debian's kernel of a series does otherwise than its version says. */
const EXCEPTIONS: Readonly<Record<string, Readonly<Record<string, Since>>>> = {
  // taken back by the stable series
  "6.12": { "cgroup": { position: "6.12" }, "lsm_cgroup": { position: "6.12" } },
};

/** What Debian's kernels of a series were built without, on one architecture or on all. */
const LACKS: Readonly<Record<string, readonly Need[]>> = {
  "5.10": ["netkit", "fprobe"],
  "6.1": ["netkit", "fprobe"],
  "6.12 aarch64": ["fprobe"],
};

/** The first kernel that can do it, as far as this release tells; undefined if none can. */
export function firstWith(row: string, operation: Operation, release: string = Deno.osRelease()): string | undefined {
  return EXCEPTIONS[seriesOf(release)]?.[row]?.[operation] ?? SINCE[row]?.[operation];
}

/** Whether a kernel of Debian's should be able to do it. */
export function isExpected(row: string, operation: Operation, release: string): boolean {
  const first = firstWith(row, operation, release);
  return first !== undefined && !isOlder(release, first);
}

/** Whether Debian's kernel should have what a test needs. */
export function shouldHave(need: Need, release: string): boolean {
  const series = seriesOf(release), lacks = [LACKS[series], LACKS[`${series} ${Deno.build.arch}`]];
  return need !== "policy" && need !== "no fprobe" && !lacks.some((needs) => needs?.includes(need));
}

function seriesOf(release: string): string {
  return release.split(".", 2).join(".");
}
