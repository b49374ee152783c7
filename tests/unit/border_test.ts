/** The two sides of the border: files of `lib/ffi` and of `ffi/core/src` pair by name. */
import { assertEquals } from "@std/assert";

/** Where the names differ, for what the files are called elsewhere. */
const TWINS: Readonly<Record<string, string>> = { symbols: "abi", calls: "syscall", library: "lib" };
/** What has no other side: how files are mapped; the libraries themselves, and their digest. */
const ALONE = ["mapped", "aarch64", "sha256", "x86_64"];

Deno.test("each file of the border has its twin on the other side", () => {
  const names = (folder: string, ending: string) =>
    [...Deno.readDirSync(new URL(`../../${folder}/`, import.meta.url))].map(({ name }) => name)
      .filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length))
      .filter((name) => !ALONE.includes(name));
  const ours = names("lib/ffi", ".ts").map((name) => TWINS[name] ?? name);
  assertEquals(ours.sort(), names("ffi/core/src", ".rs").sort());
});
