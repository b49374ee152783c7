/** What an update of a link costs. */
import { assertEquals } from "@std/assert";
import { fast, native } from "../../lib/ffi/library.ts";
import { Link, type Program } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { answering, flowDissector, skLookup, taskIterator, tcx, xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

kernelTest("an update is one call, but for what must be asked first of a cgroup's link", {
  needs: ["cgroup2", "netns"],
  since: "6.6",
}, () => {
  using cgroup = new Cgroup();
  const egress = () => answering(1, { type: "cgroup_skb", expectedAttachType: "cgroup_inet_egress" });
  const rows: [first: number, () => Program, Parameters<typeof Link.attach>[1]][] = [
    [1, xdp, { type: "xdp", device: "lo" }],
    [1, tcx, { type: "tcx", device: "lo", direction: "ingress" }],
    [1, skLookup, { type: "netns", attachType: "sk_lookup" }],
    [1, flowDissector, { type: "netns", attachType: "flow_dissector" }],
    [1, () => taskIterator("x"), { type: "iter" }],
    [2, () => answering(1, { type: "cgroup_sock" }), {
      type: "cgroup",
      cgroup: cgroup.path,
      attachType: "cgroup_inet_sock_create",
    }], // whether it fits, update
    [1, egress, { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" }], // loaded for it
  ];
  for (const [first, load, target] of rows) {
    using program = load();
    using next = load();
    using link = Link.attach(program, target);
    assertEquals(countCalls(() => link.update(next)), first, target.type);
    assertEquals(countCalls(() => link.update(program)), first, target.type);
  }
});

/** How often bpf(2) is called meanwhile. */
function countCalls(action: () => void): number {
  using originals = new DisposableStack();
  let calls = 0;
  for (const functions of new Set([native(), fast() ?? native()])) {
    const library = functions as unknown as Record<string, (...args: never[]) => unknown>;
    for (const name of ["bpf_link_bpf", "bpf_link_words", "bpf_link_info"]) {
      const original = library[name]!;
      originals.defer(() => library[name] = original);
      library[name] = (...args) => {
        calls++;
        return original(...args);
      };
    }
  }
  action();
  return calls;
}
