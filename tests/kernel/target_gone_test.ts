/** What becomes of links whose target dies or moves, and of links that several hold or change at once. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { interfaceName } from "../../lib/os/interfaces.ts";
import { type AnyLink, type AttachTarget, BpfError, Link, type Program } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { OtherNetns, VethPair } from "../fixture/place/netns.ts";
import { addPair, deleteInterface, indexOf, move } from "../fixture/place/rtnetlink.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { answering, cgroupEgress, skLookup, tcx, xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { until } from "../fixture/run/wait.ts";

function attach(program: Program, target: AttachTarget): AnyLink {
  return Link.attach(program, target) as AnyLink;
}

/** What holds for every link whose target is gone. */
async function assertDetached(link: AnyLink, program: Program, next: Program, rest: object): Promise<void> {
  assertEquals(link.attached(), false);
  const detached = { id: link.id, type: link.type, programId: program.id, attached: false, ...rest };
  assertEquals(link.info() as unknown, detached);
  for (const options of [undefined, { expected: program }]) {
    const error = assertThrows(() => link.update(next, options), BpfError);
    assertEquals([error.code, error.reason, error.hint !== undefined], ["ENOLINK", "gone", true]);
  }
  link.detach();
  await link.detachAsync();
  using byId = Link.open(link.id);
  assertEquals(byId.info() as unknown, detached);
  link.close();
}

/** The kinds of links to an interface: the target, a program, what info tells besides the interface. */
const AT_INTERFACE: readonly [string, (device: string) => AttachTarget, () => Program, object][] = [
  ["xdp", (device) => ({ type: "xdp", device, mode: "generic" }), xdp, {}],
  ["tcx", (device) => ({ type: "tcx", device, direction: "ingress" }), tcx, { attachType: "tcx_ingress" }],
];

for (const [kind, target, load, rest] of AT_INTERFACE) {
  const since = kind === "tcx" ? "6.6" : "5.10";

  kernelTest(`${kind}: its interface is deleted`, { needs: ["netns"], since }, async () => {
    using veth = new VethPair();
    using program = load();
    using next = load();
    using link = attach(program, target(veth.name));
    assertEquals(link.attached(), true);
    veth.delete();
    const { message } = assertThrows(() => link.update(next), BpfError);
    assertStringIncludes(message, `link ${link.id} (${kind}, detached)`);
    await assertDetached(link, program, next, { ifindex: 0, ...rest });
  });

  kernelTest(`${kind}: its interface moves to another network namespace`, { needs: ["netns"], since }, async () => {
    await using other = new OtherNetns();
    using veth = new VethPair();
    using program = load();
    using next = load();
    using misfit = cgroupEgress();
    using link = attach(program, target(veth.name));
    const { ifindex } = veth;
    const message = () => assertThrows(() => link.update(misfit), BpfError).message;
    assertStringIncludes(message(), `(${kind} on "${veth.name}")`);
    move(veth.name, other.pid);
    const there = indexOf(veth.name, other.path)!;
    assertEquals(link.info() as unknown, {
      id: link.id,
      type: kind,
      programId: program.id,
      attached: true,
      ifindex: there,
      ...rest,
    });
    link.update(next); // from here
    assertEquals(link.info().programId, next.id);
    // its number there is that of an interface of ours now
    using stack = new DisposableStack();
    if (interfaceName(there) === undefined) {
      addPair("veth", `n${ifindex}a`, `n${ifindex}b`, { index: there });
      stack.defer(() => deleteInterface(`n${ifindex}a`));
    }
    assertStringIncludes(message(), `(${kind} on interface ${there})`);
    link.detach();
    assertEquals(link.attached(), false);
  });
}

kernelTest("cgroup: it is removed", { needs: ["cgroup2"] }, async () => {
  const cgroup = new Cgroup();
  using program = cgroupEgress();
  using next = cgroupEgress();
  const attachType = "cgroup_inet_egress";
  using link = attach(program, { type: "cgroup", cgroup: cgroup.path, attachType });
  cgroup[Symbol.dispose]();
  await until(() => link.attached() === false, "the kernel detaches the link");
  await assertDetached(link, program, next, { cgroupId: 0n, attachType });
  const error = assertThrows(() => attach(program, { type: "cgroup", cgroup: cgroup.path, attachType }), BpfError);
  assertEquals([error.code, error.reason], ["ENOENT", "gone"]);
});

kernelTest("netns: its last process ends", { needs: ["netns"] }, async () => {
  await using other = new OtherNetns();
  using program = skLookup();
  using next = skLookup();
  using link = attach(program, { type: "netns", netns: other.path, attachType: "sk_lookup" });
  const info = link.info();
  assertEquals(info.type === "netns" && info.netnsIno, other.ino);
  await other.end();
  await until(() => link.attached() === false, "the kernel detaches the link");
  await assertDetached(link, program, next, { netnsIno: 0, attachType: "sk_lookup" });
});

kernelTest("netfilter: a link keeps its namespace alive", { needs: ["netns"], since: "6.4" }, async () => {
  await using other = new OtherNetns();
  using accept = answering(1, { type: "netfilter", expectedAttachType: "netfilter" });
  using program = skLookup();
  using witness = Link.attach(program, { type: "netns", netns: other.path, attachType: "sk_lookup" });
  using holder = Link.attach(accept, {
    type: "netfilter",
    netns: other.path,
    family: "ipv4",
    hook: "local_in",
    priority: 1,
  });
  await other.end();
  await new Promise((resolve) => setTimeout(resolve, 200)); // ten times what it takes without the holder
  assertEquals([holder.attached(), witness.attached()], [undefined, true]);
  holder.detach();
  await until(() => witness.attached() === false, "the namespace is gone");
});

kernelTest("two handles on one link see each other's changes", { needs: ["cgroup2"] }, () => {
  using cgroup = new Cgroup();
  using a = cgroupEgress();
  using b = cgroupEgress();
  using made = Link.attach(a, { type: "cgroup", cgroup: cgroup.path });
  using opened = Link.open(made.id) as Link<"cgroup">;
  opened.update(b, { expected: a });
  assertEquals(made.info().programId, b.id);
  assertEquals(assertThrows(() => made.update(a, { expected: a }), BpfError).reason, "mismatch");
  opened.detach();
  assertEquals([made.attached(), opened.attached()], [false, false]);
  made.detach();
  made.close();
  assertEquals(opened.info().cgroupId, 0n);
});

kernelTest("detach during a storm of updates", { needs: ["cgroup2"] }, async () => {
  using cgroup = new Cgroup();
  using a = cgroupEgress();
  using b = cgroupEgress();
  using link = Link.attach(a, { type: "cgroup", cgroup: cgroup.path });
  const storm = `
    import { BpfError, Link, Program } from "${MOD}";
    using link = Link.open(${link.id});
    using a = Program.open(${a.id});
    using b = Program.open(${b.id});
    let updates = 0;
    try {
      for (; updates < 1_000_000; updates += 2) {
        link.update(a);
        link.update(b);
      }
    } catch (error) {
      console.log(error.reason, error.code, updates > 0);
    }
  `;
  const storms = Promise.all([runScript(storm, ["--allow-ffi"]), runScript(storm, ["--allow-ffi"])]);
  let hasEnded = false;
  const outcomes = storms.finally(() => hasEnded = true);
  const seen = new Set<number | undefined>();
  const isRaging = () => hasEnded || seen.add(link.info().programId).size === 2;
  await until(isRaging, "both programs are seen", 60_000); // an emulated machine starts a process in seconds
  link.detach();
  assertEquals(link.attached(), false);
  for (const { errors, output } of await outcomes) {
    assertEquals(errors, "");
    assert(/^gone ENOLINK (true|false)\n$/.test(output), output);
  }
  assert([a.id, b.id].includes(link.info().programId!));
});
