/** The records of the iterator's program, as it might write them on kernels to come. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BpfError } from "../../lib/error.ts";
import { linkKindOf } from "../../lib/kind/mod.ts";
import { type Filled, LinkRecords, Trust } from "../../lib/listing/records.ts";

const NAME = 40;
const FILLED: Filled = new Map([["iter", new Set()], ["xdp", new Set()]]);

/** A record as the program writes it: a head, four words of 8 bytes, and perhaps a name. */
function record(type: number, id: number, name?: string): Uint8Array<ArrayBuffer> {
  const length = NAME + (name === undefined ? 0 : Math.ceil((name.length + 1) / 8) * 8);
  const bytes = new Uint8Array(length), view = new DataView(bytes.buffer);
  view.setUint16(0, type, true);
  view.setUint16(2, length, true);
  view.setUint32(4, id, true);
  view.setUint32(8, 7, true); // the program
  new TextEncoder().encodeInto(name ?? "", bytes.subarray(NAME));
  return bytes;
}

function records(pieces: Uint8Array[], types?: ConstructorParameters<typeof LinkRecords>[4]): LinkRecords {
  const bytes = new Uint8Array(pieces.flatMap((piece) => [...piece]));
  return new LinkRecords(bytes, FILLED, new Trust(), 2, types);
}

function all<T>(records: LinkRecords, what: (at: number) => T): T[] {
  const found: T[] = [];
  for (let at = records.first; at < records.end; at = records.next(at)) found.push(what(at));
  return found;
}

Deno.test("a type that is newer than the package, or that this kernel's program does not tell of, is unknown", () => {
  const some = records([record(99, 1), record(3, 3)]);
  assertEquals(all(some, (at) => some.recorded(at)), [
    { type: "unknown", id: 1, progId: 7, typeNumber: 99 },
    { type: "unknown", id: 3, progId: 7, typeNumber: 3 },
  ]);
});

Deno.test("our own link and the types that are not wanted are left out, wherever they are", () => {
  const pieces = [record(4, 2, "task"), record(4, 3, "bpf_map_elem"), record(4, 2, "task"), record(6, 5), record(4, 2)];
  const some = records(pieces);
  assertEquals(all(some, (at) => some.id(at)), [3, 5]);
  const xdp = records(pieces, ["xdp"]);
  assertEquals(all(xdp, (at) => xdp.id(at)), [5]);
  assertEquals(all(records([record(4, 2, "task")]), () => 1), []);
  assertEquals(all(records([]), () => 1), []);
});

Deno.test("names are read whole, those that repeat and those that begin alike", () => {
  const names = ["task", "task", "task_file", "", "task", "a".repeat(119), "task_file"];
  const some = records(names.map((name, i) => record(4, i + 10, name)));
  const recorded = all(some, (at) => some.recorded(at));
  assertEquals(recorded.map((info) => info.type === "iter" && info.targetName), names);
});

Deno.test("a record is the same as another if every byte is", () => {
  const a = records([record(4, 3, "task"), record(6, 5)]), b = records([record(6, 5), record(4, 3, "tasks")]);
  const [iter = 0, xdp = 0] = all(a, (at) => at), [otherXdp = 0, otherIter = 0] = all(b, (at) => at);
  assertEquals([a.isSame(xdp, b, otherXdp), a.isSame(iter, b, otherIter)], [true, false]);
});

/** Believes every record, so that no link is asked. */
class Belief extends Trust {
  override isSettled(): boolean {
    return true;
  }
}

Deno.test("infos are taken in pieces of any size: each is what its record alone becomes", () => {
  const pieces = [
    ...["task", "task", "task_file", "task", "task"].map((name, i) => record(4, i + 10, name)),
    ...[record(6, 20), record(4, 2, "task"), record(99, 21), record(6, 22), record(4, 23, "task"), record(4, 2)],
  ];
  const bytes = new Uint8Array(pieces.flatMap((piece) => [...piece]));
  const some = () => new LinkRecords(bytes, FILLED, new Belief(), 2, undefined);
  const one = some(), expected = all(one, (at) => linkKindOf(one.recorded(at).type).read(one.recorded(at)));
  for (const most of [1, 2, 5, Infinity]) {
    const records = some(), taken = [];
    for (let piece; (piece = records.take(linkKindOf, most)).length > 0;) {
      assert(piece.length <= most);
      taken.push(...piece);
    }
    assertEquals(taken, expected);
  }
});

Deno.test("what is no whole record is an error once it is come to", () => {
  const long = record(6, 5), odd = record(6, 6);
  new DataView(long.buffer).setUint16(2, 48, true);
  new DataView(odd.buffer).setUint16(2, 44, true);
  for (const last of [long, odd, new Uint8Array(8)]) {
    const some = records([record(6, 3), last]);
    assertEquals(some.id(some.first), 3);
    assertThrows(() => some.next(some.first), BpfError, "something else than whole records");
    assertThrows(() => some.take(linkKindOf, Infinity), BpfError, "something else than whole records");
  }
});
