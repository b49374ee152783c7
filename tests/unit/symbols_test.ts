import { assert, assertEquals } from "@std/assert";
import { aarch64 } from "../../lib/ffi/aarch64.ts";
import { symbols } from "../../lib/ffi/symbols.ts";
import { x86_64 } from "../../lib/ffi/x86_64.ts";

const EM_X86_64 = 62, EM_AARCH64 = 183;
const PT_DYNAMIC = 2;
const DT_HASH = 4, DT_STRTAB = 5, DT_SYMTAB = 6;

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
    assertEquals(exportedSymbols(bytes), Object.keys(symbols).sort());
  });
}

/** The names in the dynamic symbol table of an ELF file whose addresses are its offsets, as far as the tables go. */
function exportedSymbols(bytes: Uint8Array<ArrayBuffer>): string[] {
  const view = new DataView(bytes.buffer);
  const u64 = (at: number) => Number(view.getBigUint64(at, true));
  const u32 = (at: number) => view.getUint32(at, true);

  const headers = Array.from({ length: view.getUint16(56, true) }, (_, i) => 64 + i * 56);
  const dynamic = u64(headers.find((at) => u32(at) === PT_DYNAMIC)! + 8);
  const table = new Map<number, number>();
  for (let at = dynamic; u64(at) !== 0; at += 16) table.set(u64(at), u64(at + 8));

  const strings = table.get(DT_STRTAB)!;
  const count = u32(table.get(DT_HASH)! + 4); // the hash has one chain entry a symbol
  return Array.from({ length: count }, (_, i) => table.get(DT_SYMTAB)! + i * 24)
    .filter((at) => view.getUint16(at + 6, true) !== 0) // section 0: needed, not exported
    .map((at) => {
      const start = strings + u32(at);
      return new TextDecoder().decode(bytes.subarray(start, bytes.indexOf(0, start)));
    })
    .sort();
}
