/** Names for the numbers in infos. */
import { assertEquals } from "@std/assert";
import { Link, Names } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { OtherNetns } from "../fixture/place/netns.ts";
import { withOnly } from "../fixture/process/privileges.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
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

for (
  const [names, seen] of [[["bpf", "perfmon"], ["guard", "", ""]], [["bpf"], [undefined, undefined, ""]]] as const
) {
  kernelTest(`names: of programs, with ${names.join(" and ")} alone`, { needs: ["setpriv"] }, async () => {
    using program = answering(1, { type: "socket_filter", name: "guard" });
    using nameless = answering(1, { type: "socket_filter" });
    const script = `
      import { Names } from "${MOD}";
      const names = new Names();
      console.log(JSON.stringify([${program.id}, ${nameless.id}, undefined].map((id) => names.program(id) ?? null)));`;
    const { output, errors } = await runScript(script, ["--allow-ffi"], { through: withOnly(...names) });
    assertEquals([errors, JSON.parse(output)], ["", seen.map((name) => name ?? null)]);
  });
}

kernelTest("names: of programs that were loaded after others were asked for, with bpf and perfmon alone", {
  needs: ["setpriv"],
}, async () => {
  const script = `
    import { Names, Program } from "${MOD}";
    const instructions = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
    const names = new Names();
    const load = (name) => names.program(Program.load({ type: "socket_filter", instructions, name }).id);
    console.log(JSON.stringify([load("first"), load("second"), load("fifteen_letters")]));
    Deno.exit();`;
  const { output, errors } = await runScript(script, ["--allow-ffi"], { through: withOnly("bpf", "perfmon") });
  assertEquals([errors, JSON.parse(output)], ["", ["first", "second", "fifteen_letters"]]);
});
