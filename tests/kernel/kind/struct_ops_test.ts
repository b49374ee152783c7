/** Links of struct_ops maps: only in virtual machines, since a kernel that goes wrong here blocks every struct_ops for good. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BpfError, BpfMap, Link, Program } from "../../../mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { xdp } from "../../fixture/program/programs.ts";
import { implementation, NAME, STRUCT } from "../../fixture/program/struct_ops.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { assertGone } from "../../fixture/run/state.ts";

const FIRST = new Uint8Array(4);

const inVm = { needs: ["vm"], since: "6.4" } as const;
/** LINK_DETACH of such links came later than they. */
const detaching = { needs: ["vm"], since: "6.11" } as const;

function isAvailable(name = NAME): boolean {
  return Deno.readTextFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control").split(/\s+/).includes(name);
}

function refusal(fn: () => unknown): BpfError {
  const error = assertThrows(fn, BpfError);
  assert(error.hint !== undefined, error.message);
  return error;
}

kernelTest("struct_ops: a scope", inVm, async () => {
  using map = implementation();
  let id;
  {
    using link = Link.attach(map, { type: "struct_ops" });
    id = link.id;
    assertEquals(link.info(), { type: "struct_ops", id, attached: true, mapId: map.id });
    assertEquals([link.attached(), isAvailable()], [true, true]);
    assertEquals(refusal(() => Link.attach(map, { type: "struct_ops" })).reason, "exists");
  }
  await assertGone(id);
  assertEquals(isAvailable(), false);
});

kernelTest("struct_ops: attachAsync", inVm, async () => {
  using map = implementation();
  await using link = await Link.attachAsync(map, { type: "struct_ops" });
  assertEquals([link.type, isAvailable()], ["struct_ops", true]);
});

kernelTest("struct_ops: detach", detaching, () => {
  using map = implementation();
  using link = Link.attach(map, { type: "struct_ops" });
  link.detach();
  link.detach();
  assertEquals(link.info(), { type: "struct_ops", id: link.id, attached: false, mapId: 0 });
  assertEquals(isAvailable(), false);
  using other = implementation();
  assertEquals(refusal(() => link.update(other)).reason, "gone");
});

kernelTest("struct_ops: update, and never with the map that it holds", inVm, () => {
  using first = implementation();
  using second = implementation();
  using third = implementation();
  using link = Link.attach(first, { type: "struct_ops" });
  const mapId = () => link.info().mapId;
  assertEquals(refusal(() => link.update(first)).reason, "exists");
  assertEquals(refusal(() => link.update(first, { expected: first })).reason, "exists");
  assertEquals(refusal(() => link.update(first, { expected: second })).reason, "exists");
  using opened = Link.open(link.id);
  using sameMap = BpfMap.open(first.id);
  assertEquals(refusal(() => opened.update(sameMap)).reason, "exists");
  assertEquals(mapId(), first.id);

  link.update(second);
  assertEquals([mapId(), isAvailable()], [second.id, true]);
  assertEquals(refusal(() => link.update(second)).reason, "exists");
  assertEquals(refusal(() => link.update(third, { expected: first })).reason, "mismatch");
  assertEquals(refusal(() => link.update(third, { expected: third })).reason, "exists");
  link.update(third, { expected: second });
  assertEquals(mapId(), third.id);
  link.update(first); // one that it held before
  assertEquals(mapId(), first.id);
});

kernelTest("struct_ops: what cannot be attached", inVm, () => {
  using program = xdp();
  using map = BpfMap.create({ type: "struct_ops", struct: STRUCT, link: true, maxEntries: 1 });
  using unlinked = implementation("unlinked", false); // registered by writing its value
  using array = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  assertEquals(refusal(() => Link.attach(map, { type: "struct_ops" })).reason, "invalid"); // it has no value
  assertEquals(refusal(() => Link.attach(unlinked, { type: "struct_ops" })).reason, "invalid");
  assertEquals(isAvailable("unlinked"), true);
  assertEquals(unlinked.delete(FIRST), true);
  assertEquals(isAvailable("unlinked"), false);
  assertThrows(() => Link.attach(array, { type: "struct_ops" }), TypeError, "struct_ops");
  assertThrows(() => Link.attach(program as never, { type: "struct_ops" }), TypeError, "BpfMap");
  using good = implementation();
  using link = Link.attach(good, { type: "struct_ops" });
  assertThrows(() => link.update(program), TypeError, "BpfMap");
});

kernelTest("struct_ops: pins and listings", { ...inVm, needs: ["vm", "bpffs"] }, async () => {
  using pins = new PinDirectory();
  using map = implementation();
  map.pin(pins.pin("map"));
  const link = Link.attach(map, { type: "struct_ops" });
  const { id } = link;
  link.pin(pins.pin("link"));
  link.close();
  assertEquals(isAvailable(), true);
  using pinned = Link.openPinned(pins.pin("link"));
  assertEquals([pinned.id, pinned.type], [id, "struct_ops"]);
  const infos = await Array.fromAsync(Link.infos({ types: ["struct_ops"] }));
  assertEquals(infos, [{ type: "struct_ops", id, attached: true, mapId: map.id }]);
  using again = BpfMap.openPinned(pins.pin("map"));
  assertEquals([again.id, again.type], [map.id, "struct_ops"]);
  again.unpin();
  pinned.unpin();
  pinned.close();
  await assertGone(id);
});

kernelTest("struct_ops: maps and programs are not taken for each other", {}, () => {
  using program = xdp();
  using map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  assertThrows(() => Link.attach(map as never, { type: "netns" }), TypeError, "source must be a Program");
  assertThrows(() => Link.attach(program as never, { type: "struct_ops" }), TypeError, "source must be a BpfMap");
  assertThrows(() => Link.attach(map, { type: "struct_ops" }), TypeError, "must be a map of type struct_ops");
  assertThrows(
    () => Link.attach(program, { type: "sockmap", map, attachType: "sk_msg_verdict" }),
    TypeError,
    "sockhash",
  );
  assertThrows(() => Link.attach(program, { type: "iter", map: program as never }), TypeError, "target.map");
  assertThrows(() => Link.attach(program, { type: "iter", map, task: { pid: 1 } }), TypeError, "one of");
});

kernelTest("struct_ops: other links take no map", { needs: ["netns"] }, () => {
  using program = Program.load({
    type: "sk_lookup",
    expectedAttachType: "sk_lookup",
    instructions: new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]),
  });
  using map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  using link = Link.attach(program, { type: "netns" });
  assertThrows(() => link.update(map), TypeError, "source must be a Program");
  assertThrows(() => link.update(program, { expected: map }), TypeError, "options.expected must be a Program");
});
