/** Looking functions up in ELF files, whoever made them. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ElfFile, globMatches, type ReadAt, type WantedFunctions } from "../../lib/os/elf.ts";
import { BpfError } from "../../mod.ts";
import { CODE_OF, executable, type ExecutableOptions } from "../fixture/place/elf.ts";

const { start, work } = CODE_OF;
const functions = [{ name: "_start", code: start }, { name: "work", code: work }, { name: "worker", code: work }];
const SYMBOL = 24;

function reader(bytes: Uint8Array): ReadAt {
  return (offset, length) => bytes.subarray(offset, offset + length);
}

function lookUp(bytes: Uint8Array, wanted: WantedFunctions): number[] {
  return new ElfFile("file", reader(bytes)).functionOffsets(wanted);
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
  ["a variable", { functions: [{ name: "value", code: work, info: 0x11 }] }, { names: ["value"] }, "value"],
];
for (const [what, options, wanted, told] of NOT_FOUND) {
  Deno.test(`${what} is not found`, () => {
    const error = refused(executable(options).bytes, wanted);
    assertEquals([error.reason, error.code], ["invalid", "ENOENT"]);
    assertStringIncludes(error.message, told);
  });
}

Deno.test("a function outside of what is loaded is refused by name and left out of a pattern", () => {
  const { bytes, offsets } = executable({ functions: [...functions, { name: "far", code: work, address: 0x999000 }] });
  assertStringIncludes(refused(bytes, { names: ["far"] }).message, "far");
  assertEquals(lookUp(bytes, { pattern: "*" }), offsets.slice(0, 3));
});

Deno.test("what is no 64-bit little-endian ELF file is refused", () => {
  const { bytes } = executable({ functions });
  const changed = (at: number, value: number) => bytes.with(at, value) as Uint8Array;
  for (const file of [new Uint8Array(), new Uint8Array(63), new TextEncoder().encode("#!/bin/sh\n".repeat(9))]) {
    assertStringIncludes(refused(file, { names: ["work"] }).message, "no ELF file");
  }
  for (const file of [changed(4, 1), changed(5, 2)]) {
    assertStringIncludes(refused(file, { names: ["work"] }).message, "64-bit little-endian");
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
        const found = new ElfFile("file", counting).functionOffsets(wanted);
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
  const error = assertThrows(() => new ElfFile("file", endless).functionOffsets({ pattern: "*" }), BpfError);
  assertStringIncludes(error.message, "too large");
});

Deno.test("patterns", () => {
  for (
    const [pattern, yes, no] of [
      ["abc", ["abc"], ["", "ab", "abcd", "xabc"]],
      ["*", ["", "a", "a*b"], []],
      ["a*c", ["ac", "abc", "acc", "abcbc"], ["a", "ca", "acb"]],
      ["?b*?d", ["abcd", "bbbdd", "xbad"], ["b", "abd", "xbd"]],
      ["a.c", ["a.c"], ["abc"]],
      ["**a**", ["a", "bab"], ["", "b"]],
    ] as const
  ) {
    for (const name of yes) assert(globMatches(pattern, name), `${pattern} ${name}`);
    for (const name of no) assert(!globMatches(pattern, name), `${pattern} ${name}`);
  }
  assert(!globMatches("*a".repeat(20) + "b", "a".repeat(20_000))); // would not end if it tried every way
});

/** Numbers below a bound, the same in every run (xorshift). */
function generator(seed: number): (bound: number) => number {
  return (bound) => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) % bound;
  };
}
