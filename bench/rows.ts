/** All rows, by name. As a script: prints those that are named, in surroundings that `run.ts` made. */
import { calls } from "./calls.ts";
import { cycles } from "./cycles.ts";
import { list, listStart } from "./list.ts";
import { loop } from "./loop.ts";
import { ring } from "./ring.ts";
import { object, objectTurns } from "./object.ts";
import { peers } from "./peers.ts";
import { size } from "./size.ts";
import { start } from "./start.ts";
import type { NamedRow } from "./report.ts";
import { printRow, type Rows } from "./table.ts";

/** The lines of the table that each name stands for. */
export const ROWS: Record<string, Rows> = {
  ...calls,
  ...list,
  ...start,
  ...listStart,
  ...loop,
  ...ring,
  ...size,
  ...cycles,
  ...object,
  ...peers,
};

/** The names of those that compare microseconds, and so want a processor for themselves. */
export const pinned: ReadonlySet<string> = new Set([...Object.keys({ ...calls, ...list }), ...objectTurns]);

/** The names of those that are compared with the work of others, in a table of their own. */
export const compared: ReadonlySet<string> = new Set(Object.keys(peers));

/** The names of those that wait, and must not wait for other processes. */
export const urgent: ReadonlySet<string> = new Set(Object.keys({ ...loop, ...ring }));

if (import.meta.main) {
  const [cgroup, twin, scratch, ...names] = Deno.args as [string, string, string, ...string[]];
  for (const name of names) {
    for await (const row of ROWS[name]!({ cgroup, twin, scratch })) {
      printRow(row);
      const kept: NamedRow = { name, ...row };
      Deno.writeTextFileSync(`${scratch}/rows`, JSON.stringify(kept) + "\n", { append: true });
    }
  }
}
