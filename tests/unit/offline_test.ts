/** The configuration for places that JSR cannot be reached from. */
import { assertEquals } from "@std/assert";

const root = new URL("../../", import.meta.url);
const read = (path: string) => JSON.parse(Deno.readTextFileSync(new URL(path, root)));
const links = ["./tests/offline/std_assert", "./tests/offline/std_testing"];

Deno.test(".deno.offline.json is deno.json with the stand-ins linked", () => {
  assertEquals(read(".deno.offline.json"), { ...read("deno.json"), links });
});

Deno.test("the stand-ins satisfy the ranges that deno.json asks for", () => {
  const { imports } = read("deno.json");
  for (const link of links) {
    const { name, version } = read(`${link}/deno.json`);
    assertEquals(imports[name], `jsr:${name}@^${version.split(".")[0]}`);
  }
});
