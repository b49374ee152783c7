/** Names for the numbers in infos. */
import { assertEquals } from "@std/assert";
import { FullNames } from "../../lib/full_names.ts";
import { cgroupById, mounts } from "../../lib/os/proc.ts";
import { Link, type LinkInfo, Names } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { OtherNetns, VethPair } from "../fixture/place/netns.ts";
import { ShownFile } from "../fixture/place/shown.ts";
import { withOnly } from "../fixture/process/privileges.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { moduleFunction, whyNoModuleFunction } from "../fixture/program/kernel_functions.ts";
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

kernelTest("names: a cgroup by its number, or by a look at each", { needs: ["cgroup2", "setpriv"] }, async () => {
  using outer = new Cgroup();
  using inner = new Cgroup(outer.path);
  const find = (id: bigint) => cgroupById(id, mounts("self", "cgroup2"));
  assertEquals([inner.id, 0n, 0x7fff_ffff_ffff_ffffn].map(find), [inner.path, undefined, undefined]);
  assertEquals(find(BigInt(Deno.statSync("/proc/self/ns").ino!)), undefined, "a number of another file system");
  const script = `
    import { Names } from "${MOD}";
    import { cgroupById, mounts } from "${new URL("../../lib/os/proc.ts", import.meta.url)}";
    const byNumber = cgroupById(${inner.id}n, mounts("self", "cgroup2")) ?? null;
    console.log(JSON.stringify([byNumber, new Names().cgroup({ type: "cgroup", cgroupId: ${inner.id}n })]));`;
  const { output, errors } = await runScript(script, ["--allow-ffi"], { through: withOnly("bpf") });
  assertEquals([errors, JSON.parse(output)], ["", [null, inner.path]]);
});

kernelTest("names: an interface of another network namespace has none", { needs: ["netns"] }, async () => {
  await using other = new OtherNetns();
  using program = xdp();
  using link = Link.attach(program, { type: "xdp", device: 1, netns: other.path, mode: "generic" });
  const names = new Names(), info = link.info();
  assertEquals([names.device(info), names.place(info)], [undefined, "interface 1"]);
});

/** What a link is attached to, in the words of `bpflink`. */
function wordsOf(link: { info(): LinkInfo }): string {
  const names = new FullNames(), info = link.info();
  names.learn([info]);
  return names.where(info, undefined, undefined);
}

kernelTest("names: functions of modules have the module in front, with an ENDBR before the probe, too", {
  needs: ["netns"],
}, () => {
  using _list = new ShownFile(
    "/proc/kallsyms",
    "ffffffff81000010 t here\nffffffffc0000010 t there\t[veth]\nffffffffc0000014 t behind\t[veth]\n" +
      "ffffffffc0000020 t __pfx_other\t[veth]\nffffffffc0000030 t other\t[veth]\nffffffffc0000040 t prog\t[bpf]\n",
  );
  const kprobe = (address: bigint, symbol?: string): { info(): LinkInfo } => ({
    info: () => ({
      type: "perf_event",
      id: 1,
      programId: 1,
      event: "kprobe",
      offset: 0,
      address,
      missed: 0,
      ...symbol === undefined ? {} : { symbol },
    }),
  });
  const words = [
    kprobe(0xffffffff81000010n, "here"),
    kprobe(0xffffffffc0000010n, "there"),
    kprobe(0xffffffffc0000014n),
    kprobe(0xffffffffc0000034n, "other"),
    kprobe(0xffffffffc0000030n, "veth:other"),
    kprobe(0xffffffffc0000034n, "renamed"), // by whom it was made knows better
    kprobe(0xffffffffc0000040n),
    kprobe(0xffffffffc0000099n),
  ].map(wordsOf);
  assertEquals(words, [
    "kprobe here",
    "kprobe veth:there",
    "kprobe veth:behind",
    "kprobe veth:other",
    "kprobe veth:other",
    "kprobe renamed",
    "kprobe prog",
    "kprobe 0xffffffffc0000099",
  ]);
});

kernelTest("names: a kprobe in a module", { since: "6.6", needs: ["kprobe"], missing: whyNoModuleFunction() }, () => {
  const { name, module } = moduleFunction()!, symbol = `${module}:${name}`;
  using program = answering(0, { type: "kprobe" });
  using link = Link.attach(program, { type: "kprobe", symbol });
  assertEquals(wordsOf(link), `kprobe ${symbol}`);
});

kernelTest("names: the same of kprobe_multi", {
  since: "6.6",
  needs: ["fprobe"],
  missing: whyNoModuleFunction(),
}, () => {
  const { name, module } = moduleFunction()!, symbol = `${module}:${name}`;
  using program = answering(0, { type: "kprobe", expectedAttachType: "trace_kprobe_multi" });
  using link = Link.attach(program, { type: "kprobe_multi", symbols: [symbol] });
  assertEquals(wordsOf(link), symbol);
});

kernelTest("names: the same of fentry, from the module's BTF", { since: "5.13", needs: ["trampolines"] }, () => {
  const load = (attachTo: string) => answering(0, { type: "tracing", expectedAttachType: "trace_fentry", attachTo });
  using pair = new VethPair(); // loads the module
  using toModule = load("veth:veth_xmit");
  using toKernel = load("vfs_read");
  using inModule = Link.attach(toModule, { type: "tracing" });
  using inKernel = Link.attach(toKernel, { type: "tracing" });
  assertEquals([inModule, inKernel].map(wordsOf), ["fentry veth:veth_xmit", "fentry vfs_read"], pair.name);
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
