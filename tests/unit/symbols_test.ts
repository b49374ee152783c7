import { assert, assertEquals } from "@std/assert";
import { aarch64 } from "../../lib/ffi/aarch64.ts";
import { symbols } from "../../lib/ffi/symbols.ts";
import { x86_64 } from "../../lib/ffi/x86_64.ts";
import { exportedSymbols } from "./exported_symbols.ts";

const EM_X86_64 = 62, EM_AARCH64 = 183;

for (const [name, library, machine] of [["x86_64", x86_64, EM_X86_64], ["aarch64", aarch64, EM_AARCH64]] as const) {
  const bytes = Uint8Array.fromBase64(library.base64);

  Deno.test(`the ${name} library is the one that its digest names`, async () => {
    assertEquals(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex(), library.sha256);
  });

  Deno.test(`the ${name} library is for its architecture and at most 16 KiB`, () => {
    assertEquals(new DataView(bytes.buffer).getUint16(18, true), machine);
    assert(bytes.length <= 16 * 1024, `${bytes.length} bytes`);
  });

  Deno.test(`the ${name} library exports what symbols.ts declares, and nothing else`, () => {
    assertEquals([...exportedSymbols(bytes).keys()].sort(), Object.keys(symbols).sort());
  });
}
