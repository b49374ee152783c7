/** The native library that the package carries. */
import { embedded } from "../lib/ffi/embedded.ts";
import type { Row, Rows } from "./table.ts";

/** A line for each architecture. */
export const size: Record<string, Rows> = {
  *size(): Generator<Row> {
    for (const [architecture, base64] of Object.entries(embedded)) {
      const bytes = Uint8Array.fromBase64(base64).length;
      yield { what: `native library, ${architecture}`, figure: bytes / 1024, unit: "KB", bound: 16 };
    }
  },
};
