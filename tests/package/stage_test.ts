/** What is published: its files, its documentation, and its types as a project gets them. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { deno, project } from "./project.ts";
import { Registry } from "./registry.ts";
import { buildStaged, STAGED, stagedFiles } from "./staged.ts";

const files = stagedFiles();

Deno.test("the package has fewer than 28 files, and the same sources give the same bytes", () => {
  assert(files.length > 0 && files.length < 28, files.join(" "));
  const again = project("again");
  buildStaged(again);
  assertEquals(stagedFiles(again), files);
  for (const file of files) assertEquals(Deno.readFileSync(`${again}/${file}`), Deno.readFileSync(`${STAGED}/${file}`));
});

Deno.test("classes have the names of the sources", () => {
  const code = files.filter((file) => file.endsWith(".js")).map((file) => Deno.readTextFileSync(`${STAGED}/${file}`));
  assertEquals(code.flatMap((text) => text.match(/class _\w+/g) ?? []), []);
});

Deno.test("the package can be published, and all of it is documented", async () => {
  const publish = await deno(["publish", "--dry-run", "--allow-dirty"], { cwd: STAGED });
  assertEquals(publish.code, 0, publish.errors);
  const entries = files.filter((file) => file.endsWith(".js") && files.includes(file.replace(/\.js$/, ".d.ts")));
  const lint = await deno(["doc", "--lint", ...entries], { cwd: STAGED });
  assertEquals(lint.code, 0, lint.errors);
  for (const entry of entries) {
    const { output } = await deno(["doc", "--json", entry], { cwd: STAGED });
    const [{ module_doc }] = Object.values<{ module_doc?: { doc: string } }>(JSON.parse(output).nodes) as [
      { module_doc?: { doc: string } },
    ];
    assert(module_doc?.doc, `${entry} has no documentation of its module`);
  }
});

Deno.test("types come from the registry: a wrong name does not compile, and an error is one class for both entry points", async () => {
  await using registry = await Registry.serve(STAGED);
  const cwd = project("types", {
    "right.ts": `import { BpfError, Link } from "jsr:@bpf/link";
      import { BpfError as Same, close } from "jsr:@bpf/link/sys";
      try { close(1000000); } catch (error) { console.log(error instanceof BpfError, BpfError === Same, Link.name); }`,
    "wrong.ts": `import { Link } from "jsr:@bpf/link"; Link.open("seven");`,
  });
  const options = { cwd, cache: `${cwd}/cache`, registry };
  assertEquals((await deno(["check", "--no-lock", "right.ts"], options)).code, 0);
  const { code, errors } = await deno(["check", "--no-lock", "wrong.ts"], options);
  assertEquals(code, 1);
  assertStringIncludes(errors, "'string' is not assignable to parameter of type 'number'");
  const { output } = await deno(["run", "--no-lock", "--allow-ffi", "right.ts"], options);
  assertEquals(output, "true true Link\n");
});

Deno.test("what is known of a compiled object is checked through the registry too", async () => {
  await using registry = await Registry.serve(STAGED);
  const known = `import { BpfObject } from "jsr:@bpf/link/object";
    interface Known { programs: "count"; maps: { flows: { key: number; value: bigint } }; globals: { limit: number } }
    const object = BpfObject.open<Known>("count.bpf.o", { globals: { limit: 5 } });`;
  const cwd = project("object_types", {
    "right.ts": `${known} object.map("flows").set(1, 2n); object.attach("count");`,
    "wrong_program.ts": `${known} object.attach("counts");`,
    "wrong_value.ts": `${known} object.map("flows").set(1, 2);`,
  });
  const options = { cwd, cache: `${cwd}/cache`, registry };
  assertEquals((await deno(["check", "--no-lock", "right.ts"], options)).errors.includes("error"), false);
  for (const [file, words] of [["wrong_program.ts", '"counts"'], ["wrong_value.ts", "'bigint'"]] as const) {
    const { code, errors } = await deno(["check", "--no-lock", file], options);
    assertEquals(code, 1, file);
    assertStringIncludes(errors, words);
  }
});

Deno.test("deno add, then the name alone", async () => {
  await using registry = await Registry.serve(STAGED);
  const cwd = project("added", {
    "deno.json": "{}",
    "main.ts": `import { LINK_TYPES } from "@bpf/link"; console.log(LINK_TYPES.includes("tcx"));`,
  });
  const options = { cwd, cache: `${cwd}/cache`, registry };
  const added = await deno(["add", "jsr:@bpf/link"], options);
  assertEquals(added.code, 0, added.errors);
  assertEquals((await deno(["run", "--no-prompt", "main.ts"], options)).output, "true\n");
});
