/** That what the tests load is compiled from the C that stands here. */
import { assert, assertEquals } from "@std/assert";
import { objects, whyNoObjects } from "./build.ts";

const missing = whyNoObjects();
const ELF_BPF = 247;

Deno.test({
  name: `every C program has an object for this processor${missing ? ` (skipped: ${missing})` : ""}`,
  ignore: missing !== undefined,
  fn: () => {
    for (const [name, path] of objects()!) {
      const bytes = Deno.readFileSync(path);
      assertEquals(new TextDecoder().decode(bytes.subarray(1, 4)), "ELF", name);
      const isLittleEndian = name !== "big_endian";
      assertEquals(new DataView(bytes.buffer).getUint16(18, isLittleEndian), ELF_BPF, name);
    }
    assert(objects()!.has("maps"));
  },
});
