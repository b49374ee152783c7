import { assert, assertEquals } from "@std/assert";
import { embedded, name } from "../../lib/ffi/embedded.ts";
import * as objectAarch64 from "../../lib/ffi/object/embedded_aarch64.ts";
import * as objectX86 from "../../lib/ffi/object/embedded_x86_64.ts";
import { symbols as objectSymbols } from "../../lib/ffi/object/symbols.ts";
import { symbols } from "../../lib/ffi/symbols.ts";
import { exportedSymbols } from "./exported_symbols.ts";

/** `EM_*` of elf.h. */
const MACHINES = { x86_64: 62, aarch64: 183 } as const;

const LIBRARIES = [
  { title: "", name, embedded, symbols, atMostKiB: 16 },
  {
    title: " object",
    name: objectX86.name,
    embedded: { x86_64: objectX86.embedded, aarch64: objectAarch64.embedded },
    symbols: objectSymbols,
    atMostKiB: 300,
  },
] as const;

for (const { title, name, embedded, symbols, atMostKiB } of LIBRARIES) {
  for (const [architecture, machine] of Object.entries(MACHINES)) {
    const bytes = Uint8Array.fromBase64(embedded[architecture as keyof typeof MACHINES]);

    Deno.test(`the ${architecture}${title} library is for its architecture and at most ${atMostKiB} KiB`, () => {
      assertEquals(new DataView(bytes.buffer).getUint16(18, true), machine);
      assert(bytes.length <= atMostKiB * 1024, `${bytes.length} bytes`);
    });

    Deno.test(`the ${architecture}${title} library exports what symbols.ts declares, and nothing else`, () => {
      assertEquals([...exportedSymbols(bytes).keys()].sort(), Object.keys(symbols).sort());
    });

    Deno.test(`the ${architecture}${title} library has the name by which the loader finds it again`, () => {
      assert(new TextDecoder("latin1").decode(bytes).includes(`\0${name}\0`), name);
    });
  }
}

Deno.test("the object library needs nothing newer than the C library that Deno itself needs", () => {
  assertEquals(objectX86.name, objectAarch64.name);
  for (const { embedded } of [objectX86, objectAarch64]) {
    const text = new TextDecoder("latin1").decode(Uint8Array.fromBase64(embedded));
    const minors = Array.from(text.matchAll(/\0GLIBC_2\.(\d+)/g), ([, minor]) => Number(minor));
    assert(minors.length > 0 && Math.max(...minors) <= 27, `GLIBC_2.${Math.max(...minors)}`);
    const libraries = new Set(Array.from(text.matchAll(/\0([\w-]+\.so\.\d+)(?=\0)/g), ([, library]) => library!));
    assertEquals(libraries.isSubsetOf(new Set(["libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"])), true);
  }
});
