/** The names in the guide of `lib/sys/mod.ts` for those who come from other libraries: ours exist. */
import { assert, assertEquals } from "@std/assert";
import * as link from "../../mod.ts";
import * as object from "../../lib/object/mod.ts";
import * as sys from "../../lib/sys/mod.ts";
import { bpflink } from "../fixture/process/bpflink.ts";
import { table } from "./guide.ts";

/** What a word in small letters before a dot is. */
const INSTANCES: Readonly<Record<string, readonly object[]>> = {
  object: [object.BpfObject.prototype],
  map: [object.TypedMap.prototype, link.BpfMap.prototype],
  program: [link.Program.prototype],
  link: [link.Link.prototype],
};
const TYPES = new Set(
  Array.from(
    Deno.readTextFileSync(new URL("../../mod.ts", import.meta.url)).matchAll(/\b\w*(?:Target|Position)\b/g),
    ([name]) => name,
  ),
);
/** What is no name of an export: values and options, which have tests of their own. */
const OTHERS = ["expected", '"keep"', "token"];

async function exists(name: string): Promise<boolean> {
  if (name.startsWith("bpflink ")) return (await bpflink(["help", name.split(" ")[1]!])).code === 0;
  const exports: Record<string, unknown> = { ...sys, ...object, ...link };
  const [of, member] = name.split(".") as [string, string?];
  if (member === undefined) return of in exports || TYPES.has(of) || OTHERS.includes(of);
  // a member of a class may be a getter, which must not be read on the prototype
  const places = INSTANCES[of] ?? [exports[of] as object];
  return places.some((place) => member in place);
}

Deno.test("our names in the guide for those who come from other libraries exist", async () => {
  const cells = table("lib/sys/mod.ts", "| here").map(([here]) => here!);
  const names = cells.flatMap((cell) => Array.from(cell.matchAll(/`([^`]+)`/g), ([, name]) => name!));
  assert(names.length > 40);
  const missing: string[] = [];
  for (const name of names) if (!await exists(name)) missing.push(name);
  assertEquals(missing, []);
  assertEquals(await Promise.all(["link.nothing", "Nothing", "Link.nothing"].map(exists)), [false, false, false]);
});

Deno.test("no target is missing among them", () => {
  const text = table("lib/sys/mod.ts", "| here").join();
  const targets = [...TYPES].filter((name) => /^[A-Z]\w+Target$/.test(name) && !/^(Attach|Hook)/.test(name));
  assertEquals(targets.filter((name) => !text.includes(`\`${name}\``)), []);
});
