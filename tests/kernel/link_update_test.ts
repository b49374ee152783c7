/** What the calls of a link cost. */
import { assertEquals } from "@std/assert";
import { close, open } from "../../lib/os/files.ts";
import { Link, type Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { answering, flowDissector, skLookup, taskIterator, tcx, xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { countNativeCalls } from "../fixture/run/native_calls.ts";

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
    assertEquals(countNativeCalls(() => link.update(next)), first, target.type);
    assertEquals(countNativeCalls(() => link.update(program)), first, target.type);
  }
});

kernelTest("each step of a link's life is one call", { needs: ["cgroup2", "bpffs"], since: "6.6" }, () => {
  using cgroup = new Cgroup();
  using pins = new PinDirectory();
  using program = answering(1, { type: "cgroup_skb", expectedAttachType: "cgroup_inet_egress" });
  using directory = new Directory(cgroup.path);
  const target = { type: "cgroup", cgroup: directory.fd } as const, path = pins.pin("link");
  let link = Link.attach(program, target);
  link.close();
  const calls = (action: () => unknown) => assertEquals(countNativeCalls(action), 1, `${action}`);
  calls(() => link = Link.attach(program, target));
  calls(() => link.id);
  assertEquals(countNativeCalls(() => link.id), 0);
  calls(() => link.info());
  calls(() => link.pin(path));
  calls(() => link.unpin());
  calls(() => link.close());
  using other = Link.attach(program, target);
  other.pin(path);
  assertEquals(countNativeCalls(() => other.detach()), 2); // and its pin
  assertEquals(pins.pins, []);
});

/** A directory, open. */
class Directory implements Disposable {
  readonly fd: number;

  constructor(path: string) {
    this.fd = open(path);
  }

  [Symbol.dispose](): void {
    close(this.fd);
  }
}
