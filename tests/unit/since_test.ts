/** The kernel that brought a link type is said once; what README and the doc comments say must agree. */
import { assert, assertEquals } from "@std/assert";
import { KINDS } from "../../lib/kind/mod.ts";
import { TYPES } from "../../lib/sys/type/mod.ts";

const read = (path: string) => Deno.readTextFileSync(new URL(`../../${path}`, import.meta.url));
const table = read("README.md").split("\n").filter((line) => line.startsWith("| `"));

for (const [type, { linkType }] of Object.entries(KINDS)) {
  const { since } = TYPES[linkType];
  Deno.test(`README and the doc comment say that ${type} came with Linux ${since}`, () => {
    const row = table.find((line) => line.split("|")[1]!.includes(`\`${type}\``));
    assert(row !== undefined, `README has no row for ${type}`);
    assertEquals(row.split("|")[2]!.match(/\d+\.\d+/)?.[0], since);
    assertEquals(read(`lib/kind/${type}.ts`).match(/Since Linux (\d+\.\d+)/)?.[1], since);
  });
}
