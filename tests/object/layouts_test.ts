/** Layouts of clang beside `lib/object/codec.ts`: the bytes of initialised variables, as values and back. */
import { assertEquals } from "@std/assert";
import { Btf } from "../../lib/object/btf.ts";
import { ObjectHandle } from "../../lib/object/handle.ts";
import { BpfObject } from "../../lib/object/mod.ts";
import { objectPath } from "./build.ts";
import { objectTest } from "./run.ts";

/** What `c/layouts.bpf.c` gives its variables; of unions all members. */
const EXPECTED: Readonly<Record<string, unknown>> = {
  scalars: {
    ...{ letter: 97, s8: -3, u8: 250, s16: -300, u16: 65000, s32: -70000, u32: 4000000000 },
    ...{ s64: -5000000000n, u64: 2n ** 64n - 1n, s128: -5n, u128: 2n ** 100n + 7n },
    ...{ yes: true, single: 1.5, twice: -2.25 },
    ...{ color: "BLUE", sign: "MINUS", wide: "BIG", wide_sign: "LEAST", tiny: "SOME" },
    ...{ qualified: 42, node: { next: 0n, later: 0n, call: 0n } },
  },
  arrays: {
    ...{
      text: "hello",
      full: "full",
      broken: "a\udcff",
      bytes: new Uint8Array([1, 2, 3, 4, 5, 6]),
      signs: [-1, 2, -3],
    },
    ...{ matrix: [[1, 2, 3], [4, 5, 6]], names: ["ab", "wxyz"], flags: [true, false, true], nothing: [] },
    points: [{ x: 1, y: -1 }, { x: 2, y: -2 }],
  },
  fields: {
    ...{ a: 5, b: 0x1abcdef, c: -7, d: 0xabcdef0123n, e: -12345n, f: "GREEN", g: true, h: 0xfedcba98, i: "MINUS" },
    j: 2n ** 64n - 1n,
  },
  packed: { a: 1, b: 0x0102030405060708n, c: 17, d: 100, e: -2, f: 0x2aaaabbbbccccn, g: -8000 },
  nameless: {
    id: 7,
    ...{ v4: 0x01020304, v6: new Uint8Array([4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) },
    ...{ low: 1, high: 2, both: 0x200000001n },
    ...{ in: -2, number: 0x3f800000, real: 1 },
    new: { class: 1, function: 2 },
  },
  either: {
    ...{ number: 0x726568746965n, real: 6.21435125685125e-310, text: "either" },
    bytes: new TextEncoder().encode("either\0\0"),
  },
  line: { length: 5, kind: 9, text: "flexible" },
  list: { count: 2, items: [{ a: 1, b: 2 }, { a: -3, b: 4 }] },
};

objectTest("layouts: what clang wrote reads as its values, and is written as its bytes", {}, () => {
  const handle = ObjectHandle.open(Deno.readFileSync(objectPath("layouts")), { name: "layouts" });
  try {
    const btf = new Btf(handle.btf()!), maps = handle.maps();
    const index = maps.findIndex(({ name }) => name.endsWith(".data")), seen = new Set<string>();
    for (const { name, type, offset, size } of btf.variables(maps[index]!.valueType)) {
      const bytes = new Uint8Array(size), codec = btf.codec(type);
      handle.readSection(index, offset, bytes);
      const value = codec.decode(bytes);
      assertEquals(value, EXPECTED[name], name);
      assertEquals(codec.encode(value, name, size), bytes, name);
      seen.add(name);
    }
    assertEquals([...seen].sort(), Object.keys(EXPECTED).sort());
  } finally {
    handle.close();
  }
});

objectTest("layouts: variables that are written read the same, before and after the object is loaded", {}, () => {
  using object = BpfObject.open(objectPath("layouts"));
  const { globals } = object;
  for (const moment of ["before", "after"]) {
    for (const [name, value] of Object.entries(EXPECTED)) {
      assertEquals(globals[name], value, `${name} ${moment}`);
      const read = globals[name];
      globals[name] = read;
      assertEquals(globals[name], value, `${name} ${moment}`);
    }
    if (moment === "before") object.load();
  }
});
