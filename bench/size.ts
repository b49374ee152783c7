/** The native libraries that the package carries. */
import { embedded as core } from "../lib/ffi/embedded.ts";
import { embedded as aarch64 } from "../lib/ffi/object/embedded_aarch64.ts";
import { embedded as x86_64 } from "../lib/ffi/object/embedded_x86_64.ts";
import type { Row, Rows } from "./table.ts";

const LIBRARIES = [
  { what: "native library", embedded: core, bound: 16 },
  { what: "native library of objects", embedded: { x86_64, aarch64 }, bound: 300 },
];

/** A line for each architecture. */
export const size: Record<string, Rows> = {
  *size(): Generator<Row> {
    for (const { what, embedded, bound } of LIBRARIES) {
      for (const [architecture, base64] of Object.entries(embedded)) {
        const figure = Uint8Array.fromBase64(base64).length / 1024;
        yield { what: `${what}, ${architecture}`, figure, unit: "KB", bound };
      }
    }
  },
};
