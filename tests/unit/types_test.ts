/** That nothing is forgotten of a link type or a target: its files, and its place in the tests. */
import { assert, assertEquals } from "@std/assert";
import { TYPES } from "../../lib/sys/type/mod.ts";
import { LINK_TYPES } from "../../lib/uapi/constants.ts";
import { ROWS } from "../kernel/conformance.ts";
import { NO_TARGET, TARGETS } from "./targets.ts";

const ROOT = new URL("../../", import.meta.url);
const targets = Object.entries(TARGETS);

/** The names of the files of a folder that end so, without the ending. */
function names(folder: string, ending: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].map(({ name }) => name).filter((name) => name.endsWith(ending))
    .map((name) => name.slice(0, -ending.length)).sort();
}

Deno.test("every link type has its file in lib/sys/type and its row in the table", () => {
  const types = LINK_TYPES.filter((type) => type !== "unknown").toSorted();
  assertEquals(types.filter((type) => !names("lib/sys/type", ".ts").includes(type)), []);
  assertEquals(Object.keys(TYPES).sort(), types);
});

Deno.test("every link type has its file in lib/kind, and so has every target", () => {
  const kinds = names("lib/kind", ".ts");
  const wanted = new Set([...LINK_TYPES.filter((type) => type !== "unknown"), ...targets.map(([type]) => type)]);
  assertEquals([...wanted].filter((type) => !kinds.includes(type)), []);
});

Deno.test("every link type is made by a target and a row of the conformance run, or it is said why not", () => {
  const made = new Set<string>(ROWS.map(({ type }) => type));
  const excused = new Set([...Object.keys(NO_TARGET), ...targets.flatMap(([type, of]) => "noRow" in of ? [type] : [])]);
  assertEquals(LINK_TYPES.filter((type) => made.has(type) === excused.has(type)), []);
});

Deno.test("every target has its row in the conformance run, or it is said why not", () => {
  for (const [type, of] of targets) {
    assert("noRow" in of || ROWS.some((row) => row.name === of.row), `no row of conformance.ts for ${type}`);
  }
});

Deno.test("every target, and every link type without one, has its file in tests/kernel/kind", () => {
  const wanted = [...targets.map(([type]) => type), ...Object.keys(NO_TARGET).filter((type) => type !== "unknown")];
  assertEquals(names("tests/kernel/kind", "_test.ts"), wanted.sort());
});
