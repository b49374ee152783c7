/** The border between TypeScript and Rust: who is whose twin, and that numbers of the kernel are the same on both sides. */
import { assert, assertEquals } from "@std/assert";
import { get_id, iter_create, link_create, link_detach, link_update } from "../../lib/uapi/layout.ts";

const ROOT = new URL("../../", import.meta.url);

/** The twin of a file of lib/ffi in ffi/core/src, where it has another name. */
const RENAMED: Readonly<Record<string, string>> = { library: "lib", symbols: "abi" };
/** What has no other side: the embedded bytes; files in memory, and the table of calls, which `symbols` has too. */
const ALONE = { typescript: ["embedded"], rust: ["mapped", "syscall"] };

Deno.test("files of lib/ffi and ffi/core/src pair by name", () => {
  const typescript = names("lib/ffi", ".ts").filter((name) => !ALONE.typescript.includes(name));
  const rust = names("ffi/core/src", ".rs").filter((name) => !ALONE.rust.includes(name));
  assertEquals(typescript.map((name) => RENAMED[name] ?? name).sort(), rust);
});

Deno.test("a file of lib/ffi says which one of ffi/core/src it belongs to, or is generated from there", () => {
  const silent = names("lib/ffi", ".ts").filter((name) =>
    name !== "library" && !ALONE.typescript.includes(name) && !text(`lib/ffi/${name}.ts`).includes("ffi/core/src")
  );
  assertEquals(silent, []);
});

// What the library alone decides is generated: `numbers` in lib/ffi/symbols.ts.
Deno.test("a number of the kernel has one value in Rust and in TypeScript", () => {
  const inRust = new Map<string, number>();
  for (const name of names("ffi/core/src", ".rs")) {
    const [code] = text(`ffi/core/src/${name}.rs`).split("#[cfg(test)]");
    for (const [, constant, value] of code!.matchAll(/const ([A-Z]\w*): \w+ = ([^;]+);/g)) {
      const number = numberOf(value!);
      if (number !== undefined) inRust.set(constant!, number);
    }
  }
  const compared = new Set<string>();
  const compare = (file: string, constant: string, value: string) => {
    const number = numberOf(value);
    if (number === undefined || !inRust.has(constant)) return;
    assertEquals(number >>> 0, inRust.get(constant)! >>> 0, `${constant} in ${file}`);
    compared.add(constant);
  };
  for (
    const file of ["lib/uapi", "lib/os", "lib/ffi"].flatMap((folder) =>
      names(folder, ".ts").map((name) => `${folder}/${name}.ts`)
    )
  ) {
    if (/(embedded|symbols)\.ts$/.test(file)) continue;
    for (const [, constant, value] of text(file).matchAll(/\b([A-Z][A-Z0-9_]+)(?: =|:) ([-\w<( ]+)[,;]/g)) {
      compare(file, constant!, value!);
    }
    for (const [, value, constant] of text(file).matchAll(/^ {2}(\d+): \["(E\w+)"/gm)) compare(file, constant!, value!);
  }
  assert(compared.size >= 20, `only ${[...compared].join(", ")} were compared`);
});

/** The value of a literal, or of one that is shifted; undefined for what is more. */
function numberOf(literal: string): number | undefined {
  const plain = literal.replace(/^\((.*)\)$/, "$1").replaceAll("_", "").replace(/n$|[iu]size$/, "");
  const [, sign, digits, shift] = /^(-?)(0x[0-9a-f]+|0o[0-7]+|\d+)(?: << (\d+))?$/i.exec(plain) ?? [];
  return digits === undefined ? undefined : Number(digits) * 2 ** Number(shift ?? 0) * (sign === "-" ? -1 : 1);
}

function names(folder: string, ending: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].filter(({ name }) => name.endsWith(ending))
    .map(({ name }) => name.slice(0, -ending.length)).sort();
}

function text(file: string): string {
  return Deno.readTextFileSync(new URL(file, ROOT));
}

// What is passed as words is in no layout: it must be that of the struct all the same.
Deno.test("words are in the order of the kernel's structs", () => {
  const { link_fd, new_prog_fd, flags, old_prog_fd } = link_update;
  assertEquals([link_fd, new_prog_fd, flags, old_prog_fd], [0, 4, 8, 12]);
  const { prog_fd, target_fd, attach_type } = link_create;
  assertEquals([prog_fd, target_fd, attach_type, link_create.flags], [0, 4, 8, 12]);
  assertEquals([get_id.start_id, get_id.link_id, get_id.next_id], [0, 0, 4]);
  assertEquals([link_detach.link_fd, iter_create.link_fd, iter_create.flags], [0, 0, 4]);
});
