/** How a position becomes the kernel's flags and anchor; what the kernel then does is in tests/kernel/position_test.ts. */
import { assertEquals } from "@std/assert";
import { encodePosition } from "../../lib/kind/position.ts";
import { BPF_F_AFTER, BPF_F_BEFORE, BPF_F_ID, BPF_F_LINK } from "../../lib/uapi/constants.ts";
import type { Position } from "../../mod.ts";

const ROWS: readonly [position: Position | undefined, flags: number, relative: object | undefined][] = [
  [undefined, 0, undefined],
  ["last", 0, undefined],
  ["first", BPF_F_BEFORE, undefined],
  [{ before: { linkId: 7 } }, BPF_F_BEFORE | BPF_F_LINK | BPF_F_ID, { relativeId: 7 }],
  [{ after: { linkId: 0 } }, BPF_F_AFTER | BPF_F_LINK | BPF_F_ID, { relativeId: 0 }],
  [{ before: { programId: 0xffffffff } }, BPF_F_BEFORE | BPF_F_ID, { relativeId: 0xffffffff }],
  [{ after: { programId: 8 } }, BPF_F_AFTER | BPF_F_ID, { relativeId: 8 }],
];
for (const [position, flags, relative] of ROWS) {
  Deno.test(`position ${Deno.inspect(position, { breakLength: Infinity })}`, () => {
    assertEquals(encodePosition(position, undefined, "links and programs"), { flags, relative });
    const withRevision = { flags, relative: { ...relative, expectedRevision: 2n ** 64n - 1n } };
    assertEquals(encodePosition(position, 2n ** 64n - 1n, "links and programs"), withRevision);
  });
}
