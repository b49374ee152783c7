/** What a record says is the same whether it becomes an info first or not. */
import { assertEquals } from "@std/assert";
import { linkKindOf } from "../../lib/kind/mod.ts";
import { rowOf } from "../../lib/sys/type/mod.ts";
import { LINK_TYPES } from "../../lib/uapi/constants.ts";

const FILLED: readonly ReadonlySet<number>[] = [new Set(), new Set([3, 4, 6, 8])];

Deno.test("a record becomes what its info would become", () => {
  const left: string[] = [];
  for (const type of LINK_TYPES) {
    const record = rowOf(type)?.record, { read, readRecord } = linkKindOf(type);
    if ((record === undefined || record.isIncomplete === true) !== (readRecord === undefined)) left.push(type);
    if (record === undefined || readRecord === undefined) continue;
    for (const fill of [0, 1, 7]) {
      const words = new Uint32Array(48).fill(fill), longs = new BigUint64Array(words.buffer);
      for (const filled of FILLED) {
        for (const name of ["", "task", "cgroup", "bpf_map_elem"]) {
          assertEquals(
            readRecord(words, longs, 4, filled, name),
            read(record.read(words, longs, 4, filled, name)),
            type,
          );
        }
      }
    }
  }
  assertEquals(left, [], "types whose records are read in two steps");
});
