/** `lib/object/btf.ts`: types found by name, and bytes that are no BTF. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Btf } from "../../lib/object/btf.ts";
import { BtfWriter, SIGNED } from "../fixture/program/btf_writer.ts";

const { InvalidData } = Deno.errors;

Deno.test("Btf.find() prefers tags to typedefs, and finds what C calls by a tag", () => {
  const writer = new BtfWriter(), int = writer.int("int", 4, SIGNED);
  const alias = writer.refer("typedef", int, "event"), struct = writer.struct("struct", "event", 4, [["a", int, 0]]);
  const choice = writer.enum("event", 4, { A: 1 });
  writer.type("fwd", "later", 0, 0);
  const btf = new Btf(writer.bytes());
  assertEquals(btf.find("event")?.id, struct);
  assertEquals(btf.find("struct event")?.id, struct);
  assertEquals(btf.find("enum event")?.id, choice);
  assertEquals(btf.find("event", ["typedef"])?.id, alias);
  assertEquals(btf.find("int")?.id, int);
  for (const absent of ["union event", "even", "events", "later", "", "event\0", "nothing"]) {
    assertEquals(btf.find(absent), undefined, absent);
  }
  assertThrows(() => btf.find(3 as never), TypeError, "name must be a string, not number");
});

Deno.test("Btf.variables() lists what a section has, and whether others see it", () => {
  const writer = new BtfWriter(), int = writer.int("int", 4, SIGNED), proto = writer.type("func_proto", "", 0, 0);
  const a = writer.variable("a", int), b = writer.variable("b", int, 0), c = writer.variable("c", int, 2);
  const f = writer.type("func", "f", 0, proto);
  const section = writer.section(".data", 12, [[a, 0, 4], [b, 4, 4], [f, 0, 0], [c, 8, 4]]);
  const btf = new Btf(writer.bytes());
  assertEquals(btf.find(".data", ["datasec"])?.id, section);
  assertEquals(btf.variables(section), [
    { name: "a", type: int, offset: 0, size: 4, isStatic: false, isExtern: false },
    { name: "b", type: int, offset: 4, size: 4, isStatic: true, isExtern: false },
    { name: "c", type: int, offset: 8, size: 4, isStatic: false, isExtern: true },
  ]);
  assertThrows(() => btf.variables(int), TypeError, "int is no datasec");
  assertThrows(() => btf.members(section), TypeError, "datasec .data is no struct or union");
});

Deno.test("Btf refuses bytes that are no BTF, and says why", () => {
  const writer = new BtfWriter();
  writer.int("int", 4, SIGNED);
  const bytes = writer.bytes();
  const changed = (at: number, ...values: number[]) => {
    const copy = bytes.slice();
    copy.set(values, at);
    return copy;
  };
  for (
    const [of, message] of [
      [new Uint8Array(), "0 bytes are too few"],
      [changed(0, 0x9f, 0xea), "it begins with 0xea9f, not 0xeb9f"],
      [changed(0, 0xeb, 0x9f), "it is big-endian"],
      [changed(2, 2), "its version is 2, not 1"],
      [bytes.slice(0, -1), "it is cut off"],
      [changed(4, 255, 255, 255, 255), "it is cut off"],
      [changed(bytes.length - 1, 65), "its strings do not begin and end with NUL"],
      [changed(24 + 7, 31), "type 1 is of kind 31"],
      [changed(24 + 7, 0), "type 1 is of kind 0"],
      [changed(12, 12), "its last type is cut off"],
    ] as const
  ) {
    assertThrows(() => new Btf(of), InvalidData, `Cannot read BTF: ${message}`);
  }
  assertThrows(() => new Btf("text" as never), TypeError, "bytes must be a Uint8Array, not string");
  const btf = new Btf(changed(24, 200));
  assertThrows(() => btf.get(1), InvalidData, "a name is at 200, behind the strings");
  for (const id of [2, -1, 0.5, NaN, 2 ** 32]) {
    assertThrows(() => btf.get(id), InvalidData, `it has no type ${id}; there are 2`);
  }
});

Deno.test("a codec of types that never end, or are too much, is refused in bounded time", () => {
  const refused = (
    build: (writer: BtfWriter) => number,
    of: typeof TypeError | typeof InvalidData,
    message: string,
  ) => {
    const writer = new BtfWriter(), id = build(writer), btf = new Btf(writer.bytes());
    assertThrows(() => btf.codec(id), of, message);
    assertThrows(() => btf.codec(id), of, message); // again: nothing half made is kept
  };
  refused((w) => w.refer("typedef", 1, "round"), InvalidData, "type 1 is behind more than 32 others");
  refused((w) => w.refer("const", 2) && w.refer("volatile", 1), InvalidData, "type 2 is behind more than 32 others");
  refused((w) => w.struct("struct", "ring", 4, [["me", 1, 0]]), InvalidData, "struct ring is more than 32 types deep");
  refused((w) => w.struct("struct", "ring", 4, [["", 1, 0]]), InvalidData, "struct ring is more than 32 types deep");
  refused((w) => w.array(1, 1), InvalidData, "array (BTF type 1) is more than 32 types deep");
  refused((w) => w.array(w.int("int", 4), 0xffffffff), InvalidData, "has more than 4294967295 bytes");
  refused((w) => w.array(w.struct("struct", "empty", 0, []), 0xffffffff), RangeError, "has too many values: ");
  refused(
    (w) => {
      let inner = w.struct("struct", "s0", 0, []);
      for (let depth = 1; depth < 20; depth++) {
        inner = w.struct("struct", `s${depth}`, 0, Array.from({ length: 100 }, (_, i) => [`m${i}`, inner, 0] as const));
      }
      return inner;
    },
    RangeError,
    "has too many values: ",
  );
  refused(
    (w) => {
      let inner = w.struct("struct", "", 0, []);
      for (let depth = 1; depth < 20; depth++) {
        inner = w.struct("struct", "", 0, Array.from({ length: 100 }, () => ["", inner, 0] as const));
      }
      return inner;
    },
    RangeError,
    "has too many members",
  );
});

Deno.test("a codec does not grow deeper by asking from the inside out", () => {
  const writer = new BtfWriter();
  let inner = writer.int("int", 4);
  for (let depth = 0; depth < 1000; depth++) inner = writer.struct("struct", `s${depth}`, 4, [["m", inner, 0]]);
  const btf = new Btf(writer.bytes());
  let deepest = 0;
  for (let id = 1; id < btf.count; id++) {
    try {
      btf.codec(id);
      deepest = id;
    } catch (error) {
      assert(error instanceof InvalidData);
      break;
    }
  }
  assertEquals(deepest, 32);
});

Deno.test("a codec is refused where BTF lies about its type", () => {
  const refused = (build: (writer: BtfWriter) => number, message: string, of = InvalidData) => {
    const writer = new BtfWriter(), id = build(writer);
    assertThrows(() => new Btf(writer.bytes()).codec(id), of as typeof TypeError, message);
  };
  refused((w) => w.int("odd", 3), "odd has 3 bytes");
  refused((w) => w.int("wide", 4, 0, 40), "wide has bits 0 to 40");
  refused((w) => w.enum("odd", 3, {}), "enum odd has 3 bytes");
  refused(
    (w) => w.struct("struct", "s", 2, [["m", w.int("int", 4), 0]]),
    'struct s: member "m" does not lie within it',
  );
  refused(
    (w) => w.struct("struct", "s", 8, [["m", w.int("int", 4), 3]]),
    'struct s: member "m" does not lie within it',
  );
  refused((w) => w.struct("struct", "s", 4, [["m", w.int("int", 4), 8, 30]]), 'member "m" does not lie within it');
  refused((w) => w.struct("struct", "s", 9, [["m", w.int("int", 4), 0, 33]]), 'member "m" does not lie within it');
  refused(
    (w) => w.struct("struct", "s", 4, [["m", w.float("float", 4), 0, 3]]),
    'member "m" is a bit field of a float',
  );
  refused((w) => {
    const int = w.int("int", 4);
    return w.struct("struct", "s", 8, [["m", int, 0], ["m", int, 32]]);
  }, 'struct s: member "m" is there twice');
  refused((w) => w.type("fwd", "later", 0, 0), "struct later is only declared in this object", TypeError);
  refused(
    (w) => w.refer("typedef", w.type("fwd", "later", 0, 0, [], true), "t"),
    "union later is only declared",
    TypeError,
  );
  refused((w) => w.type("func_proto", "", 0, 0), "has no values", TypeError);
  refused(() => 0, "void has no values", TypeError);
});
