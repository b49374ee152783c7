/** What is special about links to netkit pairs. */
import { assert, assertEquals } from "@std/assert";
import { Link } from "../../../mod.ts";
import { NetkitPair } from "../../fixture/place/netkit.ts";
import { OtherNetns } from "../../fixture/place/netns.ts";
import { addPair } from "../../fixture/place/rtnetlink.ts";
import { tcx, VERDICT } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { refusal } from "../../fixture/run/refusal.ts";
import { NO_IFINDEX, rows } from "../refusal/rows.ts";

const NEEDS = { since: "6.7", needs: ["netns", "netkit"] } as const;
const NEXT = -1;

kernelTest("netkit: the primary side and the peer's are two hooks of one device", NEEDS, async () => {
  using pair = new NetkitPair();
  using program = tcx(VERDICT.tcx.block);
  const drops = async () => [await pair.drops(pair.primary), await pair.drops(pair.peer)];
  assertEquals(await drops(), [false, false]);
  {
    using link = Link.attach(program, { type: "netkit", device: pair.primary, peer: false });
    assertEquals([link.info().attachType, link.info().ifindex], ["netkit_primary", pair.ifindex(pair.primary)]);
    assertEquals(await drops(), [true, false]);
  }
  {
    using link = Link.attach(program, { type: "netkit", device: pair.primary, peer: true });
    assertEquals([link.info().attachType, link.info().ifindex], ["netkit_peer", pair.ifindex(pair.peer)]);
    assertEquals(await drops(), [false, true]);
  }
  assertEquals(await drops(), [false, false]);
});

kernelTest("netkit: refusals", NEEDS, () => {
  using pair = new NetkitPair();
  using program = tcx();
  assertEquals(refusal(() => Link.attach(program, { type: "netkit", device: pair.peer })), ["EACCES", "invalid"]);
  assertEquals(refusal(() => Link.attach(program, { type: "netkit", device: "lo" })), ["ENXIO", "invalid"]);
  assertEquals(refusal(() => Link.attach(program, { type: "netkit", device: 0x7fffffff })), ["ENODEV", "gone"]);
  using _first = Link.attach(program, { type: "netkit", device: pair.primary });
  assertEquals(refusal(() => Link.attach(program, { type: "netkit", device: pair.primary })), ["EEXIST", "exists"]);
  assertEquals(
    refusal(() => Link.attach(program, { type: "netkit", device: pair.primary, peer: true, expectedRevision: 77n })),
    ["ESTALE", "stale"],
  );
});

kernelTest("netkit: programs run in their order until one decides", NEEDS, async () => {
  using pair = new NetkitPair();
  using next = tcx(NEXT);
  using pass = tcx(VERDICT.tcx.pass);
  using block = tcx(VERDICT.tcx.block);
  const target = { type: "netkit", device: pair.primary } as const;
  using _next = Link.attach(next, target);
  using blocking = Link.attach(block, target);
  assert(await pair.drops(pair.primary));
  using _pass = Link.attach(pass, { ...target, position: { before: blocking } });
  assert(!await pair.drops(pair.primary));
});

kernelTest("netkit: a pair that is deleted, and one in another network namespace", NEEDS, async () => {
  using program = tcx();
  {
    using pair = new NetkitPair();
    using link = Link.attach(program, { type: "netkit", device: pair.primary });
    pair.delete();
    const { attached, ifindex, attachType } = link.info();
    assertEquals([attached, ifindex, attachType], [false, 0, "netkit_primary"]);
    assertEquals(refusal(() => link.update(program)), ["ENOLINK", "gone"]);
  }
  await using other = new OtherNetns();
  addPair("netkit", "far0", "far1", { netns: other.path });
  using link = Link.attach(program, { type: "netkit", device: "far0", netns: other.path });
  assertEquals(link.attached(), true);
});

rows(
  { needs: ["netns", "netkit"], since: "6.7" },
  [
    "no such interface, netkit",
    (own) => Link.attach(own.use(tcx()), { type: "netkit", device: NO_IFINDEX }),
    "LINK_CREATE ENODEV gone",
    /no such interface/,
  ],
  [
    "another kind of interface",
    (own) => Link.attach(own.use(tcx()), { type: "netkit", device: "lo" }),
    "LINK_CREATE ENXIO invalid",
    /no netkit device.*ip link add type netkit/,
  ],
  [
    "the other end of a pair",
    (own) => Link.attach(own.use(tcx()), { type: "netkit", device: own.use(new NetkitPair()).peer }),
    "LINK_CREATE EACCES invalid",
    /say peer: true/,
  ],
);
