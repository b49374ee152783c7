/** What a target must have in the tests; leaving one out does not compile. */
import type { LinkType, TargetType } from "../../mod.ts";

/** The row of conformance.ts for each target; where there is none, why. */
export const TARGETS: Readonly<Record<TargetType, { readonly row: string } | { readonly noRow: string }>> = {
  cgroup: { row: "cgroup" },
  xdp: { row: "xdp" },
  tcx: { row: "tcx" },
  netkit: { row: "netkit" },
  netns: { row: "netns (sk_lookup)" },
  netfilter: { row: "netfilter" },
  sockmap: { row: "sockmap" },
  iter: { row: "iter" },
  raw_tracepoint: { row: "raw_tracepoint" },
  tp_btf: { row: "tp_btf" },
  tracing: { row: "tracing (trace_fentry)" },
  perf_event: { row: "perf_event" },
  tracepoint: { row: "tracepoint" },
  kprobe: { row: "kprobe" },
  uprobe: { row: "uprobe" },
  kprobe_multi: { row: "trace_kprobe_multi" },
  uprobe_multi: { row: "trace_uprobe_multi" },
  struct_ops: { noRow: "a kernel that goes wrong here blocks every struct_ops for good: virtual machines only" },
};

/** Link types that no target makes, and why. */
export const NO_TARGET: Readonly<Partial<Record<LinkType, string>>> = {
  unknown: "any type that is newer than the package",
  tracing_multi: "linkCreate() makes such links, and Link reads them",
};
