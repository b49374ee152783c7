/** That each line of README's "Whom it trusts" has tests, and which. */
import { assertEquals, assertStringIncludes } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

/** By the beginning of a line: files below tests or the sources, and the names of tests in them. */
const PROOFS: Readonly<Record<string, readonly (readonly [file: string, test: string])[]>> = {
  "Deno's sandbox ends at `--allow-ffi`": [
    ["tests/unit/library_test.ts", "--allow-ffi alone reads what --allow-read would have to allow"],
  ],
  "The native library": [
    ["tests/unit/library_test.ts", "--allow-ffi alone loads the embedded library, from sealed memory"],
    ["tests/unit/library_test.ts", "a file that is not the library is refused by name"],
    ["tests/unit/library_test.ts", "a library with another interface is refused"],
  ],
  "An fd of a link is power over it": [
    ["tests/doc/claims/link_create_test.ts", "linkCreate: returns an fd of the link, close-on-exec"],
  ],
  "Shared bpf file systems": [
    ["tests/kernel/pin_neighbours_test.ts", "a pin of somebody else beside ours, whatever its name, stays"],
    ["tests/kernel/pin_neighbours_test.ts", "a symbolic link in the place of the pin is not followed, and stays"],
    ["tests/kernel/pin_neighbours_test.ts", "unpin() removes no symbolic link, even if it leads to the link"],
    ["tests/kernel/pin_neighbours_test.ts", "a pin with a second name is taken over by nobody"],
    ["tests/kernel/pin_neighbours_test.ts", "a pin of another user is taken over only if told to replace it"],
    ["tests/kernel/pin_neighbours_test.ts", "what a killed run left is ended, if it is proved to be that"],
  ],
  Locks: [
    ["tests/kernel/pin_neighbours_test.ts", "a lock that somebody holds is waited for with a limit, which says who"],
  ],
  Names: [
    ["tests/kernel/hostile_names_test.ts", "names are escaped in errors"],
    ["tests/unit/cli_test.ts", "control and formatting characters are escaped, and nothing else"],
  ],
  "Deep directories, and entries that may not be read": [
    [
      "tests/kernel/hostile_names_test.ts",
      "pins in a directory too deep for a path cost that directory, and the listing says so",
    ],
    ["tests/kernel/hostile_names_test.ts", "cgroups too deep for a path leave the others their names"],
  ],
  "`/proc` may hide processes": [
    ["tests/kernel/holders_test.ts", "partial is false once every reference is accounted for"],
    ["tests/kernel/holders_test.ts", "partial is true for a pin in another mount namespace"],
  ],
  "Files with functions": [["tests/unit/decoders_test.ts", "an ELF file with some words changed"]],
  "Maps may be written by others": [
    ["ffi/core/src/ring.rs", "positions_and_lengths_are_not_believed"],
    ["tests/kernel/map_test.ts", "another number of possible CPUs than the kernel's: an error, and no damage"],
  ],
  "A policy may refuse single calls": [
    ["tests/kernel/refusal/question_test.ts", "what an fd is, is asked of /proc where a policy refuses the question"],
    ["tests/kernel/refusal/question_test.ts", "without a free fd: probe() says unknown, never no"],
  ],
};

Deno.test("each line of README about trust has its tests", () => {
  const [, section] = /\n## Whom it trusts\n([^]*?)\n## /.exec(text("README.md"))!;
  const lines = Array.from(section!.matchAll(/^- \*\*([^*]+)\*\*/gm), ([, line]) => line!);
  assertEquals(lines, Object.keys(PROOFS));
  for (const [file, test] of Object.values(PROOFS).flat()) assertStringIncludes(text(file), test, file);
});

function text(file: string): string {
  return Deno.readTextFileSync(new URL(file, ROOT));
}
