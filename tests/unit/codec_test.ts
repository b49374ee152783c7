/** `lib/object/codec.ts`: which values bytes are, which values are refused, and in which words. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Btf } from "../../lib/object/btf.ts";
import type { Codec } from "../../lib/object/codec.ts";
import { BOOL, BtfWriter, CHAR, SIGNED } from "../fixture/program/btf_writer.ts";

/** The codec of the type that `build` makes. */
function codecOf(build: (writer: BtfWriter) => number): Codec {
  const writer = new BtfWriter(), id = build(writer);
  return new Btf(writer.bytes()).codec(id);
}

function refuses(codec: Codec, value: unknown, of: typeof TypeError | typeof RangeError, message: string): void {
  const error = assertThrows(() => codec.encode(value), of, message);
  assertEquals((error as Error).constructor, of);
}

/** The value is what the bytes read as, and the bytes what the value writes. */
function agrees(codec: Codec, value: unknown, bytes: readonly number[]): void {
  assertEquals(codec.decode(new Uint8Array(bytes)), value);
  assertEquals([...codec.encode(value)], bytes);
}

Deno.test("integers are numbers to 32 bits, bigints beyond", () => {
  for (const [size, signed] of [[1, 0], [1, 1], [2, 0], [2, 1], [4, 0], [4, 1]] as const) {
    const codec = codecOf((w) => w.int("n", size, signed)), bits = 8 * size;
    const least = signed ? -(2 ** (bits - 1)) : 0, most = least + 2 ** bits - 1;
    for (const value of [least, 0, 1, most]) assertEquals(codec.decode(codec.encode(value)), value);
    const range = `value must be an integer from ${least} to ${most}, not `;
    for (const value of [least - 1, most + 1, 0.5, NaN, Infinity]) refuses(codec, value, RangeError, range + value);
    refuses(codec, -0, RangeError, `${range}-0`);
    for (
      const [value, kind] of [[1n, "bigint"], ["1", "string"], [null, "null"], [[1], "an array"], [
        undefined,
        "undefined",
      ]]
    ) {
      refuses(codec, value, TypeError, `value must be a number, not ${kind}`);
    }
  }
  for (const [size, signed] of [[8, 0], [8, 1], [16, 0], [16, 1]] as const) {
    const codec = codecOf((w) => w.int("n", size, signed)), bits = BigInt(8 * size);
    const least = signed ? -(1n << bits - 1n) : 0n, most = least + (1n << bits) - 1n;
    for (const value of [least, 0n, 1n, most, most >> 1n, 1n << 63n]) {
      if (value <= most) assertEquals(codec.decode(codec.encode(value)), value);
    }
    for (const value of [least - 1n, most + 1n]) {
      refuses(codec, value, RangeError, `value must be a bigint from ${least}n to ${most}n, not ${value}n`);
    }
    refuses(codec, 1, TypeError, "value must be a bigint, not number: 1n");
  }
  agrees(codecOf((w) => w.int("n", 4)), 0x04030201, [1, 2, 3, 4]);
  agrees(codecOf((w) => w.refer("ptr", 0)), 0x0807060504030201n, [1, 2, 3, 4, 5, 6, 7, 8]);
  agrees(codecOf((w) => w.int("__int128", 16, SIGNED)), -2n, [254, ...Array(15).fill(255)]);
});

Deno.test("booleans and floats", () => {
  const bool = codecOf((w) => w.int("_Bool", 1, BOOL));
  agrees(bool, true, [1]);
  agrees(bool, false, [0]);
  assertEquals(bool.decode(new Uint8Array([2])), true);
  refuses(bool, 1, TypeError, "value must be a boolean, not number");

  const float = codecOf((w) => w.float("float", 4)), double = codecOf((w) => w.float("double", 8));
  for (const value of [0, -0, 1.5, Infinity, -Infinity, NaN]) {
    assert(
      Object.is(float.decode(float.encode(value)), value) && Object.is(double.decode(double.encode(value)), value),
    );
  }
  assertEquals(double.decode(double.encode(0.1)), 0.1);
  assertEquals(float.decode(float.encode(0.1)), Math.fround(0.1));
  refuses(float, 1e39, RangeError, "value must fit into a float, not 1e+39");
  refuses(double, 1n, TypeError, "value must be a number, not bigint");
  agrees(codecOf((w) => w.float("long double", 16)), new Uint8Array(16).fill(7), Array(16).fill(7));
});

Deno.test("an enum is its names, and a number where no value has it", () => {
  const kind = codecOf((w) => w.enum("kind", 4, { NONE: 0, EXEC: 1, FIRST: 1, HIGH: 0x80000000 }));
  agrees(kind, "EXEC", [1, 0, 0, 0]);
  agrees(kind, "HIGH", [0, 0, 0, 128]);
  agrees(kind, 9, [9, 0, 0, 0]);
  assertEquals([...kind.encode("FIRST")], [1, 0, 0, 0]);
  assertEquals([...kind.encode(1)], [1, 0, 0, 0]);
  refuses(kind, "OPEN", TypeError, 'value must be "NONE", "EXEC", "FIRST", "HIGH" or a number, not "OPEN"');
  refuses(kind, 1n, TypeError, "or a number, not bigint");
  refuses(kind, -1, RangeError, "value must be an integer from 0 to 4294967295, not -1");
  refuses(kind, "toString", TypeError, 'not "toString"');

  agrees(codecOf((w) => w.enum("sign", 4, { MINUS: -1, PLUS: 1 }, true)), "MINUS", [255, 255, 255, 255]);
  agrees(codecOf((w) => w.enum("tiny", 1, { A: 200 })), "A", [200]);
  const wide = codecOf((w) => w.enum64("wide", 8, { MINUS: -1n, BIG: 1n << 40n }, true));
  agrees(wide, "MINUS", Array(8).fill(255));
  agrees(wide, "BIG", [0, 0, 0, 0, 0, 1, 0, 0]);
  agrees(wide, 3n, [3, 0, 0, 0, 0, 0, 0, 0]);
  refuses(wide, 3, TypeError, 'value must be "MINUS", "BIG" or a bigint, not number');
  const many = codecOf((w) =>
    w.enum("many", 4, Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`N${i}`, i])))
  );
  refuses(many, "X", TypeError, '"N23" and 76 more or a number, not "X"');
});

Deno.test("char arrays are text: to the first NUL, every byte kept", () => {
  const text = codecOf((w) => w.array(w.refer("const", w.int("char", 1, SIGNED)), 4));
  agrees(text, "ab", [97, 98, 0, 0]);
  agrees(text, "", [0, 0, 0, 0]);
  agrees(text, "abcd", [97, 98, 99, 100]); // no NUL
  agrees(text, "é€".slice(0, 1) + "x", [0xc3, 0xa9, 120, 0]);
  agrees(text, "a\udcff", [97, 255, 0, 0]);
  agrees(text, "\udce2\udc82a", [0xe2, 0x82, 97, 0]); // cut off
  agrees(text, "\udced\udca0\udc80", [0xed, 0xa0, 0x80, 0]); // a surrogate
  agrees(text, "\udcc0\udc80", [0xc0, 0x80, 0, 0]); // an overlong NUL
  agrees(text, "\ufeffa", [0xef, 0xbb, 0xbf, 97]); // a byte order mark
  agrees(text, "\u{1f600}", [0xf0, 0x9f, 0x98, 0x80]);
  assertEquals(text.decode(new Uint8Array([97, 0, 98, 99])), "a");
  refuses(text, "abcde", RangeError, "value must take at most 4 bytes as UTF-8, not 5");
  refuses(text, "€€", RangeError, "value must take at most 4 bytes as UTF-8, not 6");
  refuses(text, "a\0b", RangeError, "value must be text without NUL, which ends it in C");
  refuses(text, "\ud800", RangeError, "value must be well-formed: it has a lone surrogate");
  refuses(
    text,
    "\udcc3\udca9",
    RangeError,
    "value must be well-formed: its lone surrogates stand for bytes that are UTF-8",
  );
  refuses(text, new Uint8Array(4), TypeError, "value must be a string, not a Uint8Array");

  const long = codecOf((w) => w.array(w.int("char", 1, CHAR), 300)), path = "/usr/lib/é".repeat(20);
  for (const value of [path, `${path}\udc80`, "x".repeat(300)]) assertEquals(long.decode(long.encode(value)), value);
});

Deno.test("unsigned bytes are a Uint8Array, signed ones numbers", () => {
  const bytes = codecOf((w) => w.array(w.refer("typedef", w.int("unsigned char", 1), "__u8"), 3));
  agrees(bytes, new Uint8Array([1, 0, 255]), [1, 0, 255]);
  refuses(bytes, new Uint8Array(2), RangeError, "value must have 3 bytes, not 2");
  refuses(bytes, [1, 2, 3], TypeError, "value must be a Uint8Array of 3 bytes, not an array");
  const source = new Uint8Array([1, 2, 3]), read = bytes.decode(source) as Uint8Array;
  source.fill(9);
  assertEquals(read, new Uint8Array([1, 2, 3]));
  agrees(codecOf((w) => w.array(w.int("signed char", 1, SIGNED), 2)), [-1, 2], [255, 2]);
  agrees(codecOf((w) => w.array(w.int("_Bool", 1, BOOL), 2)), [true, false], [1, 0]);
});

Deno.test("arrays are frozen, nest, and have their length", () => {
  const codec = codecOf((w) => w.array(w.array(w.int("u16", 2), 2), 2));
  agrees(codec, [[1, 2], [3, 4]], [1, 0, 2, 0, 3, 0, 4, 0]);
  assert(Object.isFrozen(codec.decode(new Uint8Array(8))));
  refuses(codec, [[1, 2], [3, 70000]], RangeError, "value[1][1] must be an integer from 0 to 65535, not 70000");
  refuses(codec, [[1, 2]], RangeError, "value must have 2 elements, not 1");
  refuses(codec, [[1, 2], [3]], RangeError, "value[1] must have 2 elements, not 1");
  refuses(codec, [[1, 2], Array(2)], TypeError, "value[1][0] must be a number, not undefined");
  refuses(codec, new Uint8Array(8), TypeError, "value must be an array of 2, not a Uint8Array");
});

Deno.test("a struct takes all of its members and no other, and names the place", () => {
  const codec = codecOf((w) => {
    const u16 = w.int("u16", 2), bool = w.int("_Bool", 1, BOOL);
    const limits = w.struct("struct", "limits", 4, [["port", u16, 0], ["on", bool, 16]]);
    return w.struct("struct", "config", 8, [["limits", limits, 0], ["two words", u16, 48]]);
  });
  const value = { limits: { port: 9, on: true }, "two words": 3 };
  agrees(codec, value, [9, 0, 1, 0, 0, 0, 3, 0]);
  const read = codec.decode(new Uint8Array(8)) as typeof value;
  assert(Object.isFrozen(read) && Object.isFrozen(read.limits));
  const range = "must be an integer from 0 to 65535, not 65536";
  refuses(codec, { ...value, limits: { port: 65536, on: true } }, RangeError, `value.limits.port ${range}`);
  refuses(codec, { ...value, "two words": 65536 }, RangeError, `value["two words"] ${range}`);
  refuses(codec, { limits: { port: 1 }, "two words": 3 }, TypeError, 'value.limits lacks member "on"');
  refuses(codec, { limits: { port: 1, on: undefined }, "two words": 3 }, TypeError, 'value.limits lacks member "on"');
  refuses(codec, { ...value, limit: 1 }, TypeError, 'value has no member "limit"; its members are limits, two words');
  for (
    const [wrong, kind] of [[null, "null"], [[], "an array"], [3, "number"], [
      new Uint8Array(8),
      "a Uint8Array",
    ]] as const
  ) {
    refuses(codec, wrong, TypeError, `value must be an object with limits, two words, not ${kind}`);
  }
  const view = new DataView(new ArrayBuffer(8));
  assertThrows(() => codec.write(view, 0, {}, "globals.config"), TypeError, 'globals.config lacks member "limits"');
});

Deno.test("what lies between members is zero after writing", () => {
  const codec = codecOf((w) => w.struct("struct", "s", 8, [["a", w.int("u8", 1), 0], ["b", w.int("u32", 4), 32]]));
  const bytes = new Uint8Array(10).fill(255);
  codec.write(new DataView(bytes.buffer), 1, { a: 1, b: 2 });
  assertEquals([...bytes], [255, 1, 0, 0, 0, 2, 0, 0, 0, 255]);
});

Deno.test("names of members that mean something to JavaScript are only names", () => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];
  const codec = codecOf((w) => {
    const u8 = w.int("u8", 1);
    return w.struct("struct", "s", 4, names.map((name, i) => [name, u8, 8 * i] as const));
  });
  const read = codec.decode(new Uint8Array([1, 2, 3, 4])) as object;
  assertEquals(Object.entries(read), names.map((name, i): [string, number] => [name, i + 1]));
  assertEquals(Object.getPrototypeOf(read), Object.prototype);
  assertEquals([...codec.encode(read)], [1, 2, 3, 4]);
  refuses(codec, {}, TypeError, 'value lacks member "__proto__"');
  refuses(codec, { ["__proto__"]: 1, constructor: 2 }, TypeError, 'value lacks member "toString"');
});

Deno.test("bit fields have the range of their bits and the kind of their type", () => {
  const codec = codecOf((w) => {
    const u32 = w.int("u32", 4), s32 = w.int("int", 4, SIGNED), u64 = w.int("u64", 8), s64 = w.int("s64", 8, SIGNED);
    const kind = w.enum("kind", 4, { A: 1, B: 2 }), bool = w.int("_Bool", 1, BOOL);
    return w.struct("struct", "s", 24, [
      ["a", u32, 0, 3],
      ["b", s32, 3, 5],
      ["c", u32, 8, 32],
      ["d", u64, 44, 60],
      ["e", s64, 104, 20],
      ["f", kind, 124, 2],
      ["g", bool, 126, 1],
      ["", u32, 127, 1],
      ["h", s32, 131, 32],
      ["i", u64, 163, 1],
    ]);
  });
  const value = {
    a: 5,
    b: -16,
    c: 0xfffffffe,
    d: 0xabcdef012345678n,
    e: -3n,
    f: "B",
    g: true,
    h: -2147483648,
    i: 1n,
  }; // deno-fmt-ignore
  assertEquals(codec.decode(codec.encode(value)), value);
  assertEquals(codec.encode({ ...value, a: 0, b: -1 })[0], 0b11111000);
  const wrong = (name: string, item: unknown, message: string, of = RangeError) => {
    refuses(codec, { ...value, [name]: item }, of, `value.${name} must be ${message}`);
  };
  wrong("a", 8, "an integer from 0 to 7, not 8");
  wrong("b", -17, "an integer from -16 to 15, not -17");
  wrong("d", 1n << 60n, "a bigint from 0n to 1152921504606846975n");
  wrong("e", 1n << 19n, "a bigint from -524288n to 524287n");
  wrong("f", 4, "an integer from 0 to 3, not 4");
  wrong("d", 1, "a bigint, not number", TypeError as never);
});

Deno.test("bit fields that an int describes, as older compilers do", () => {
  const codec = codecOf((w) => {
    const low = w.int("int", 4, SIGNED, 3), high = w.int("int", 4, 0, 5, 3);
    return w.struct("struct", "s", 4, [["low", low, 0], ["high", high, 0]]);
  });
  agrees(codec, { low: -1, high: 17 }, [0b10001111, 0, 0, 0]);
});

Deno.test("members of anonymous structs and unions are the outer one's own", () => {
  const codec = codecOf((w) => {
    const u32 = w.int("u32", 4), u64 = w.int("u64", 8);
    const words = w.struct("struct", "", 8, [["low", u32, 0], ["high", u32, 32]]);
    const either = w.struct("union", "", 8, [["", words, 0], ["both", u64, 0]]);
    return w.struct("struct", "s", 16, [["id", u32, 0], ["", either, 64]]);
  });
  const bytes = [7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
  agrees(codec, { id: 7, low: 1, high: 2, both: 0x200000001n }, bytes);
  assertEquals([...codec.encode({ id: 7, both: 0x200000001n })], bytes);
  assertEquals([...codec.encode({ id: 7, low: 1, high: 2 })], bytes);
  refuses(codec, { id: 7 }, TypeError, "value lacks one of low, high, both");
  refuses(codec, { id: 7, low: 1 }, TypeError, 'value lacks member "high"');
  const differ =
    "value has low and high and both, which share their bytes but say different things: leave out all but one";
  refuses(codec, { id: 7, low: 1, high: 2, both: 1n }, TypeError, differ);
});

Deno.test("a union reads as all of its members, and is written by one", () => {
  const codec = codecOf((w) => {
    const raw = w.array(w.int("unsigned char", 1), 8), text = w.array(w.int("char", 1, SIGNED), 8);
    const bool = w.int("_Bool", 1, BOOL), u64 = w.int("u64", 8), double = w.float("double", 8);
    return w.struct("union", "u", 8, [["text", text, 0], ["on", bool, 0], ["d", double, 0], ["raw", raw, 0], [
      "n",
      u64,
      0,
    ]]);
  });
  const bytes = [97, 0, 98, 3, 4, 5, 255, 127]; // text with something behind its NUL, a bool of 97, a NaN of many
  const read = codec.decode(new Uint8Array(bytes)) as Record<string, unknown>;
  assertEquals([read.text, read.on, read.d], ["a", true, NaN]);
  assertEquals([...codec.encode(read)], bytes);
  assertEquals([...codec.encode({ ...read })], bytes);
  assertEquals([...codec.encode({ text: "hi" })], [104, 105, 0, 0, 0, 0, 0, 0]);
  assertEquals([...codec.encode({ n: 1n })], [1, 0, 0, 0, 0, 0, 0, 0]);
  refuses(codec, {}, TypeError, "value lacks one of text, on, d, raw, n");
  refuses(codec, { ...read, n: 1n }, TypeError, "value has text and on and d and raw and n, which share their bytes");
});

Deno.test("a flexible array takes what is left of a record, and nothing elsewhere", () => {
  const codec = codecOf((w) => {
    const u16 = w.int("u16", 2), items = w.array(w.struct("struct", "item", 2, [["x", u16, 0]]), 0);
    return w.struct("struct", "list", 4, [["n", u16, 0], ["mark", w.array(u16, 0), 16], ["m", u16, 16], [
      "items",
      items,
      32,
    ]]);
  });
  const bytes = new Uint8Array([2, 0, 0, 0, 5, 0, 6, 0, 7]),
    value = { n: 2, mark: [], m: 0, items: [{ x: 5 }, { x: 6 }] };
  assertEquals(codec.decode(bytes), value);
  assertEquals(codec.read(new DataView(bytes.buffer), 0), { ...value, items: [] });
  assertEquals([...codec.encode(value, "value", 8)], [...bytes.subarray(0, 8)]);
  refuses(codec, value, RangeError, "value.items must have 0 elements, not 2");
  const text = codecOf((w) =>
    w.struct("struct", "line", 2, [["n", w.int("u16", 2), 0], ["text", w.array(w.int("char", 1), 0), 16]])
  );
  assertEquals(text.decode(new Uint8Array([1, 0, 104, 105])), { n: 1, text: "hi" });
  assertEquals([...text.encode({ n: 1, text: "hi" }, "value", 4)], [1, 0, 104, 105]);
  const nested = codecOf((w) => {
    const u16 = w.int("u16", 2);
    const line = w.struct("struct", "line", 2, [["n", u16, 0], ["text", w.array(w.int("char", 1), 0), 16]]);
    return w.struct("struct", "event", 4, [["id", u16, 0], ["line", line, 16]]);
  });
  assertEquals(nested.decode(new Uint8Array([7, 0, 1, 0, 104, 105])), { id: 7, line: { n: 1, text: "hi" } });
  assertEquals([...nested.encode({ id: 7, line: { n: 1, text: "hi" } }, "value", 6)], [7, 0, 1, 0, 104, 105]);
});

Deno.test("bytes that are too few, and places outside, are a RangeError", () => {
  const codec = codecOf((w) => w.struct("struct", "s", 8, [["a", w.int("u64", 8), 0]]));
  assertThrows(() => codec.decode(new Uint8Array(7)), RangeError, "struct s has 8 bytes; at 0 there are 7");
  const view = new DataView(new ArrayBuffer(12));
  for (const offset of [5, -1, 0.5, NaN]) {
    assertThrows(() => codec.read(view, offset), RangeError, `struct s has 8 bytes; at ${offset} there are`);
    assertThrows(() => codec.write(view, offset, { a: 1n }), RangeError, "struct s has 8 bytes");
  }
  assertEquals(codec.decode(new Uint8Array(12)), { a: 0n });
  assertThrows(() => codec.encode({ a: 1n }, "value", 7), RangeError, "size must be an integer from 8, not 7");
  const huge = codecOf((w) =>
    w.struct("struct", "huge", 0xfffffff0, [["a", w.array(w.int("unsigned char", 1), 0xfffffff0), 0]])
  );
  assertThrows(() => huge.decode(new Uint8Array(7)), RangeError, "struct huge has 4294967280 bytes; at 0 there are 7");
});
