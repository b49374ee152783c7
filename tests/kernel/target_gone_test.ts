/** What becomes of links to an interface that is deleted or moves; other targets that end have this in kind/. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { interfaceName } from "../../lib/os/interfaces.ts";
import { type AnyLink, type AttachTarget, BpfError, Link, type Program } from "../../mod.ts";
import { OtherNetns, VethPair } from "../fixture/place/netns.ts";
import { addPair, deleteInterface, indexOf, move } from "../fixture/place/rtnetlink.ts";
import { cgroupEgress, tcx, xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { assertDetached } from "./detached.ts";

/** What becomes of links whose target dies or moves, and of links that several hold or change at once. */
function attach(program: Program, target: AttachTarget): AnyLink {
  return Link.attach(program, target) as AnyLink;
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
