/** Looking functions up in ELF files, whoever made them. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ElfFile, type ReadAt } from "../../lib/os/elf.ts";
import { functionOffsets, globMatches, type WantedFunctions } from "../../lib/os/elf_functions.ts";
import { BpfError } from "../../mod.ts";
import { CODE_OF, executable, type ExecutableOptions, INDIRECT } from "../fixture/place/elf.ts";

const { start, work } = CODE_OF;
const functions = [{ name: "_start", code: start }, { name: "work", code: work }, { name: "worker", code: work }];
const SYMBOL = 24;

function reader(bytes: Uint8Array): ReadAt {
  return (offset, length) => bytes.subarray(offset, offset + length);
}

function lookUp(bytes: Uint8Array, wanted: WantedFunctions): number[] {
  return functionOffsets(new ElfFile("file", reader(bytes)), wanted);
}

function refused(bytes: Uint8Array, wanted: WantedFunctions): BpfError {
  return assertThrows(() => lookUp(bytes, wanted), BpfError);
}

for (const table of ["symtab", "dynsym"] as const) {
  Deno.test(`functions of a ${table} are found by name, in the order asked for`, () => {
    const { bytes, offsets } = executable({ functions, aliases: { same: 1 }, table });
    assertEquals(lookUp(bytes, { names: ["worker", "work", "same"] }), [offsets[2], offsets[1], offsets[1]]);
  });

  Deno.test(`functions of a ${table} are found by pattern, each place once`, () => {
    const { bytes, offsets } = executable({ functions, aliases: { workshop: 1 }, table });
    assertEquals(lookUp(bytes, { pattern: "work*" }), offsets.slice(1));
    assertEquals(lookUp(bytes, { pattern: "work??" }), offsets.slice(2));
    assertEquals(lookUp(bytes, { pattern: "*" }), offsets);
  });
}

Deno.test("names beyond ASCII are found", () => {
  const { bytes, offsets } = executable({ functions: [{ name: "größe", code: work }, { name: "日本", code: work }] });
  assertEquals(lookUp(bytes, { names: ["日本", "größe"] }), [offsets[1], offsets[0]]);
});

Deno.test("one name with several places is refused, and the places are told", () => {
  const twice = [...functions, { name: "work", code: work }];
  const { bytes, offsets } = executable({ functions: twice });
  const error = refused(bytes, { names: ["work"] });
  assertEquals([error.reason, error.code], ["invalid", "EINVAL"]);
  for (const offset of [offsets[1]!, offsets[3]!]) assertStringIncludes(error.message, `0x${offset.toString(16)}`);
  assertEquals(lookUp(bytes, { pattern: "work" }), [offsets[1], offsets[3]]);
});

Deno.test("one name with several entries for one place is that place", () => {
  const { bytes, offsets } = executable({ functions, aliases: { work: 1 } });
  assertEquals(lookUp(bytes, { names: ["work"] }), [offsets[1]]);
});

const NOT_FOUND: [string, ExecutableOptions, WantedFunctions, string][] = [
  ["a name of a file that only exports", { functions, table: "dynsym" }, { names: ["nothing"] }, "stripped"],
  ["a name that is not there", { functions }, { names: ["nothing"] }, "nothing"],
  ["a part of a name", { functions }, { names: ["wor"] }, "wor"],
  ["the end of a name", { functions }, { names: ["start"] }, "start"],
  ["a pattern that nothing fits", { functions }, { pattern: "no*" }, "no*"],
  ["a name of a stripped file", { functions, table: "none" }, { names: ["work"] }, "symbol table"],
  [
    "a name that may be among compressed symbols",
    {
      functions,
      table: "dynsym",
      debugData: new Uint8Array(8),
    },
    { names: ["nothing"] },
    ".gnu_debugdata",
  ],
  ["a variable", { functions: [{ name: "value", code: work, info: 0x11 }] }, { names: ["value"] }, "value"],
];
for (const [what, options, wanted, told] of NOT_FOUND) {
  Deno.test(`${what} is not found`, () => {
    const error = refused(executable(options).bytes, wanted);
    assertEquals([error.reason, error.code], ["invalid", "ENOENT"]);
    assertStringIncludes(error.message, told);
  });
}

const versioned = [
  { name: "_start", code: start },
  { name: "copy", code: work, version: "@V1" },
  { name: "copy", code: work, version: "@@V2" },
  { name: "wait", code: work, version: "@V1" },
  { name: "move", code: work, version: "@V1" },
  { name: "move", code: work, version: "@V2" },
];

Deno.test("of several versions the default one is meant, others by their names", () => {
  const { bytes, offsets } = executable({ functions: versioned, table: "dynsym" });
  assertEquals(
    lookUp(bytes, { names: ["copy", "copy@@V2", "copy@V2", "copy@V1"] }),
    [2, 2, 2, 1].map((i) => offsets[i]),
  );
  assertEquals(lookUp(bytes, { names: ["wait"] }), [offsets[3]]); // old programs alone can call it, but nothing else is meant
  for (const name of ["copy@@V1", "copy@V3", "copy@", "copy@@", "@V1", "@@"]) {
    assertEquals(refused(bytes, { names: [name] }).code, "ENOENT");
  }
  const error = refused(bytes, { names: ["move"] });
  assertEquals(error.code, "EINVAL");
  assertStringIncludes(error.hint!, "move@V1, move@V2");
});

Deno.test("a pattern means default versions too, unless it speaks of versions", () => {
  const { bytes, offsets } = executable({ functions: versioned, table: "dynsym" });
  const at = (...places: number[]) => places.map((i) => offsets[i]);
  assertEquals(lookUp(bytes, { pattern: "cop*" }), at(2));
  assertEquals(lookUp(bytes, { pattern: "*" }), at(0, 2, 3, 4, 5));
  assertEquals(lookUp(bytes, { pattern: "*@V1" }), at(1, 3, 4));
  assertEquals(lookUp(bytes, { pattern: "*@@*" }), at(2));
});

Deno.test("in a table without versions of its own, names have them", () => {
  const named = versioned.map(({ name, version = "", code }) => ({ name: name + version, code }));
  const { bytes, offsets } = executable({ functions: named });
  assertEquals(lookUp(bytes, { names: ["copy@@V2", "copy@V2", "copy@V1"] }), [2, 2, 1].map((i) => offsets[i]));
  assertEquals(lookUp(bytes, { pattern: "*" }), [offsets[0]]);
  assertEquals(lookUp(bytes, { pattern: "copy@*" }), [offsets[1], offsets[2]]);
});

Deno.test("an indirect function is said to be one, with the code that it may choose", () => {
  const indirect = [
    { name: "_start", code: start },
    { name: "length", code: work, version: "@V1" },
    { name: "length", code: work, version: "@@V2", info: INDIRECT },
    { name: "__length_fast", code: work },
    { name: "former", code: work, version: "@V1", info: INDIRECT },
  ];
  const { bytes, offsets } = executable({ functions: indirect, table: "dynsym" });
  for (const name of ["length", "length@@V2", "length@V2"]) {
    const error = refused(bytes, { names: [name] });
    assertEquals(error.code, "ENOENT");
    assertStringIncludes(error.message, "IFUNC");
    assertStringIncludes(error.hint!, "__length_fast");
  }
  assertStringIncludes(refused(bytes, { names: ["former"] }).message, "IFUNC");
  assertEquals(lookUp(bytes, { names: ["length@V1", "__length_fast"] }), [offsets[1], offsets[3]]);
  assertEquals(lookUp(bytes, { pattern: "*leng*" }), [offsets[3]]);
  assertStringIncludes(refused(bytes, { pattern: "len*" }).message, "IFUNC");
});

Deno.test("names that the compiler made of one are suggested", () => {
  const { bytes } = executable({ functions: [...functions, { name: "shrunk.isra.0", code: work }] });
  assertStringIncludes(refused(bytes, { names: ["shrunk"] }).hint!, "shrunk.isra.0");
  assertStringIncludes(refused(bytes, { names: ["work+4"] }).hint!, "offset");
});

for (const table of ["symtab", "dynsym"] as const) {
  Deno.test(`functions of a ${table} of a file of 32 bits are found`, () => {
    const { bytes, offsets } = executable({ functions: table === "symtab" ? functions : versioned, table, bits: 32 });
    if (table === "symtab") assertEquals(lookUp(bytes, { names: ["worker", "work"] }), [offsets[2], offsets[1]]);
    else assertEquals(lookUp(bytes, { names: ["copy", "copy@V1"] }), [offsets[2], offsets[1]]);
  });
}

Deno.test("what was stripped is looked up in the debug file, what is exported is not", () => {
  const exported = executable({ functions: functions.slice(0, 2), table: "dynsym", buildId: "c0ffee" });
  const debug = new ElfFile("debug", reader(executable({ functions }).bytes));
  let opened = 0;
  const find = (wanted: WantedFunctions) =>
    functionOffsets(new ElfFile("file", reader(exported.bytes)), wanted, () => (opened++, debug));
  assertEquals([find({ names: ["work"] }), opened], [[exported.offsets[1]], 0]);
  const whole = executable({ functions: [...functions.slice(0, 2), { name: "hidden", code: work }], table: "dynsym" });
  const { offsets } = whole;
  const stripped = new ElfFile("file", reader(whole.bytes));
  assertEquals(functionOffsets(stripped, { names: ["worker"] }, () => debug), [offsets[2]]);
  assertEquals(functionOffsets(stripped, { pattern: "work*" }, () => debug), [offsets[1], offsets[2]]);
  assertThrows(() => functionOffsets(stripped, { names: ["worker"] }, () => undefined), BpfError, "stripped");
});

Deno.test("a build id and a debug link are read", () => {
  for (const bits of [32, 64] as const) {
    const debugLink = { name: "größe.debug", checksum: 0xdeadbeef }, buildId = "00112233445566778899aabb";
    const file = new ElfFile("file", reader(executable({ functions, bits, buildId, debugLink }).bytes));
    assertEquals([file.buildId(), file.debugLink()], [buildId, debugLink]);
    const none = new ElfFile("file", reader(executable({ functions, bits }).bytes));
    assertEquals([none.buildId(), none.debugLink()], [undefined, undefined]);
  }
  const outside = executable({ functions, debugLink: { name: "../passwd", checksum: 1 } });
  assertEquals(new ElfFile("file", reader(outside.bytes)).debugLink(), undefined);
  const { bytes } = executable({ functions });
  assertEquals(new ElfFile("file", reader(bytes)).checksum(), crc32(bytes));
});

Deno.test("a function outside of what is loaded is refused by name and left out of a pattern", () => {
  const { bytes, offsets } = executable({ functions: [...functions, { name: "far", code: work, address: 0x999000 }] });
  assertStringIncludes(refused(bytes, { names: ["far"] }).message, "far");
  assertEquals(lookUp(bytes, { pattern: "*" }), offsets.slice(0, 3));
});

Deno.test("what is no little-endian ELF file is refused", () => {
  const { bytes } = executable({ functions });
  const changed = (at: number, value: number) => bytes.with(at, value) as Uint8Array;
  for (const file of [new Uint8Array(), new Uint8Array(63), new TextEncoder().encode("#!/bin/sh\n".repeat(9))]) {
    assertStringIncludes(refused(file, { names: ["work"] }).message, "no ELF file");
  }
  for (const file of [changed(4, 3), changed(4, 0), changed(5, 2)]) {
    assertStringIncludes(refused(file, { names: ["work"] }).message, "little-endian");
  }
});

Deno.test("every cut of a file is refused or read", () => {
  const { bytes, offsets } = executable({ functions });
  for (let length = 0; length < bytes.length; length++) {
    try {
      assertEquals(lookUp(bytes.subarray(0, length), { names: ["work"] }), [offsets[1]]);
    } catch (error) {
      assert(error instanceof BpfError, String(error));
    }
  }
});

Deno.test("damaged files end in an answer or a BpfError, and read no more than a little", () => {
  const { bytes } = executable({ functions, aliases: { same: 1 } });
  const random = generator(20260101);
  const tail = bytes.length - 3 * 64 - 5 * SYMBOL - 40;
  for (let round = 0; round < 4000; round++) {
    const file = bytes.slice();
    for (let i = random(4); i >= 0; i--) {
      // the headers, or the tables at the end
      const at = random(2) === 0 ? random(64 + 2 * 56) : tail + random(file.length - tail);
      file[at] = [0, 1, 0x7f, 0x80, 0xff, random(256)][random(6)]!;
    }
    let read = 0;
    const counting: ReadAt = (offset, length) => {
      assert(Number.isSafeInteger(offset) && offset >= 0 && length > 0 && length <= 1 << 20, `${offset} ${length}`);
      const piece = file.subarray(offset, offset + length);
      read += piece.length;
      return piece;
    };
    for (const wanted of [{ names: ["work", "nothing"] }, { pattern: "*or*k?" }]) {
      try {
        const found = functionOffsets(new ElfFile("file", counting), wanted);
        assert(found.every((offset) => Number.isSafeInteger(offset) && offset >= 0));
      } catch (error) {
        assert(error instanceof BpfError, `round ${round}: ${error}`);
      }
    }
    assert(read < 40 * file.length, `round ${round} reads ${read} bytes`);
  }
});

Deno.test("tables larger than any real one are refused without being read", () => {
  const { bytes } = executable({ functions });
  const endless: ReadAt = (offset, length) =>
    offset < bytes.length ? reader(bytes)(offset, length) : new Uint8Array(length);
  const view = new DataView(bytes.buffer), sections = Number(view.getBigUint64(40, true));
  view.setBigUint64(sections + 64 + 32, 2n ** 40n, true); // sh_size of the symbols
  const error = assertThrows(() => functionOffsets(new ElfFile("file", endless), { pattern: "*" }), BpfError);
  assertStringIncludes(error.message, "too large");
});

Deno.test("patterns", () => {
  const utf8 = new TextEncoder(), matches = (p: string, n: string) => globMatches(utf8.encode(p), utf8.encode(n));
  for (
    const [pattern, yes, no] of [
      ["abc", ["abc"], ["", "ab", "abcd", "xabc"]],
      ["*", ["", "a", "a*b"], []],
      ["a*c", ["ac", "abc", "acc", "abcbc"], ["a", "ca", "acb"]],
      ["?b*?d", ["abcd", "bbbdd", "xbad"], ["b", "abd", "xbd"]],
      ["a.c", ["a.c"], ["abc"]],
      ["**a**", ["a", "bab"], ["", "b"]],
      ["gr??e", ["größe", "grace"], ["grße", "größee"]],
      ["*ß?", ["größe"], ["größ"]],
    ] as const
  ) {
    for (const name of yes) assert(matches(pattern, name), `${pattern} ${name}`);
    for (const name of no) assert(!matches(pattern, name), `${pattern} ${name}`);
  }
  assert(!matches("*a".repeat(20) + "b", "a".repeat(20_000))); // would not end if it tried every way
});

Deno.test("a table of millions of long names that overlap ends in a BpfError", () => {
  const { bytes } = executable({ functions });
  const view = new DataView(bytes.buffer), sections = Number(view.getBigUint64(40, true));
  const COUNT = 4 << 20, STRINGS = 64 << 20, symbolsAt = 1 << 30, stringsAt = 1 << 31, PART = 4000;
  view.setBigUint64(sections + 64 + 24, BigInt(symbolsAt), true);
  view.setBigUint64(sections + 64 + 32, BigInt(COUNT * SYMBOL), true);
  view.setBigUint64(sections + 128 + 24, BigInt(stringsAt), true);
  view.setBigUint64(sections + 128 + 32, BigInt(STRINGS), true);
  let read = 0;
  const hostile: ReadAt = (offset, length) => {
    read += length;
    if (offset >= stringsAt) return new Uint8Array(length).fill(97).with(length - 1, 0);
    if (offset < symbolsAt) return reader(bytes)(offset, length);
    const symbols = new DataView(new ArrayBuffer(length));
    for (let at = 0; at < length; at += SYMBOL) {
      symbols.setUint32(at, (offset + at) * 61 % (STRINGS - PART), true);
      symbols.setUint32(at + 4, 0x0001_0012, true);
    }
    return new Uint8Array(symbols.buffer);
  };
  const names = Array.from({ length: 300 }, (_, i) => "a".repeat(i + 1));
  for (const wanted of [{ names: ["main"] }, { names }, { pattern: "*x*" }]) {
    read = 0;
    assertThrows(() => functionOffsets(new ElfFile("file", hostile), wanted), BpfError);
    assert(read <= 2 * STRINGS + COUNT * SYMBOL + bytes.length, `${read} bytes`);
  }
});

function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : crc >>> 1 ^ 0xedb88320;
  }
  return ~crc >>> 0;
}

/** Numbers below a bound, the same in every run (xorshift). */
function generator(seed: number): (bound: number) => number {
  return (bound) => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) % bound;
  };
}
