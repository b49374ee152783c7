/** Names for the numbers in infos. */
import { assertEquals } from "@std/assert";
import { Link, Names } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { OtherNetns } from "../fixture/place/netns.ts";
import { answering, cgroupEgress, xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

kernelTest("names: program, interface, and the place in words", { needs: ["netns"] }, () => {
  using program = answering(2, { type: "xdp", name: "guard" });
  using link = Link.attach(program, { type: "xdp", device: "lo", mode: "generic" });
  const names = new Names(), info = link.info();
  assertEquals([names.program(info.programId), names.device(info), names.cgroup(info)], ["guard", "lo", undefined]);
  assertEquals(names.place(info), "lo");
  link.detach();
  assertEquals(names.place(link.info()), "detached");
  assertEquals([names.program(undefined), names.program(0x7ffffff0)], ["", ""]);
});

kernelTest("names: the directory of a cgroup", { needs: ["cgroup2"] }, () => {
  using cgroup = new Cgroup();
  using program = cgroupEgress();
  using link = Link.attach(program, { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" });
  const names = new Names(), info = link.info();
  assertEquals([names.cgroup(info), names.device(info)], [cgroup.path, undefined]);
  assertEquals(names.place(info), `${cgroup.path} cgroup_inet_egress`);
});

kernelTest("names: an interface of another network namespace has none", { needs: ["netns"] }, async () => {
  await using other = new OtherNetns();
  using program = xdp();
  using link = Link.attach(program, { type: "xdp", device: 1, netns: other.path, mode: "generic" });
  const names = new Names(), info = link.info();
  assertEquals([names.device(info), names.place(info)], [undefined, "interface 1"]);
});
