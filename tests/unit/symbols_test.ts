import { assert, assertEquals } from "@std/assert";
import { embedded } from "../../lib/ffi/embedded.ts";
import { symbols } from "../../lib/ffi/symbols.ts";
import { exportedSymbols } from "./exported_symbols.ts";

/** `EM_*` of elf.h. */
const MACHINES = { x86_64: 62, aarch64: 183 } as const;

for (const [name, machine] of Object.entries(MACHINES)) {
  const bytes = Uint8Array.fromBase64(embedded[name as keyof typeof MACHINES]);

  Deno.test(`the ${name} library is for its architecture and at most 16 KiB`, () => {
    assertEquals(new DataView(bytes.buffer).getUint16(18, true), machine);
    assert(bytes.length <= 16 * 1024, `${bytes.length} bytes`);
  });

  Deno.test(`the ${name} library exports what symbols.ts declares, and nothing else`, () => {
    assertEquals([...exportedSymbols(bytes).keys()].sort(), Object.keys(symbols).sort());
  });
}
