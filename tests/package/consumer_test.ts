/** The package as it is published, used by a project that gets it from a registry. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { kernelTest } from "../fixture/run/kernel.ts";
import { objectPath, whyNoObjects } from "../object/build.ts";
import { Registry } from "./registry.ts";
import { stage } from "./stage.ts";

const scratch = Deno.makeTempDirSync({ prefix: "bpf-link-package-" });
globalThis.addEventListener("unload", () => Deno.removeSync(scratch, { recursive: true }));
const staged = `${scratch}/staged`;
const files = await stage(staged);

/** Runs Deno in `cwd`; what it caches is kept in `cache`. */
async function deno(
  args: readonly string[],
  { cwd = staged, cache, registry }: { cwd?: string; cache?: string; registry?: Registry } = {},
): Promise<{ code: number; output: string; errors: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    env: {
      NO_COLOR: "1",
      ...cache === undefined ? {} : { DENO_DIR: cache },
      ...registry === undefined ? {} : { JSR_URL: registry.url },
    },
  }).output();
  return { code, output: new TextDecoder().decode(stdout), errors: new TextDecoder().decode(stderr) };
}

/** A new folder with these files. */
function project(name: string, files: Readonly<Record<string, string>>): string {
  const folder = `${scratch}/${name}`;
  Deno.mkdirSync(folder);
  for (const [file, text] of Object.entries(files)) Deno.writeTextFileSync(`${folder}/${file}`, text);
  return folder;
}

Deno.test("the package has fewer than 26 files, and the same sources give the same bytes", async () => {
  assert(files.length < 26, files.join(" "));
  const again = `${scratch}/again`;
  assertEquals(await stage(again), files);
  for (const file of files) assertEquals(Deno.readFileSync(`${again}/${file}`), Deno.readFileSync(`${staged}/${file}`));
});

Deno.test("classes have the names of the sources", () => {
  const code = files.filter((file) => file.endsWith(".js")).map((file) => Deno.readTextFileSync(`${staged}/${file}`));
  assertEquals(code.flatMap((text) => text.match(/class _\w+/g) ?? []), []);
});

Deno.test("the package can be published, and all of it is documented", async () => {
  const publish = await deno(["publish", "--dry-run", "--allow-dirty"]);
  assertEquals(publish.code, 0, publish.errors);
  const entries = files.filter((file) => file.endsWith(".js") && files.includes(file.replace(/\.js$/, ".d.ts")));
  const lint = await deno(["doc", "--lint", ...entries]);
  assertEquals(lint.code, 0, lint.errors);
  for (const entry of entries) {
    const { output } = await deno(["doc", "--json", entry]);
    const [{ module_doc }] = Object.values<{ module_doc?: { doc: string } }>(JSON.parse(output).nodes) as [
      { module_doc?: { doc: string } },
    ];
    assert(module_doc?.doc, `${entry} has no documentation of its module`);
  }
});

Deno.test("types come from the registry: a wrong name does not compile, and an error is one class for both entry points", async () => {
  await using registry = await Registry.serve(staged);
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
  await using registry = await Registry.serve(staged);
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

kernelTest("a compiled object is loaded with --allow-ffi alone", { missing: whyNoObjects() }, async () => {
  await using registry = await Registry.serve(staged);
  const cwd = project("object", {
    "main.ts": `import { BpfObject } from "jsr:@bpf/link/object";
      using object = BpfObject.load("${objectPath("globals")}");
      console.log(object.loaded);`,
  });
  const run = ["run", "--no-lock", "--no-prompt", "--allow-ffi", "main.ts"];
  const { output, errors } = await deno(run, { cwd, cache: `${cwd}/cache`, registry });
  assertEquals(output, "true\n", errors);
});

kernelTest("a script runs with --allow-ffi alone, cold and warm", { needs: ["netns"] }, async () => {
  await using registry = await Registry.serve(staged);
  const cwd = project("script", {
    "main.ts": `import { Link, Program } from "jsr:@bpf/link@^0.1";
      const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
      using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
      using link = Link.attach(program, { type: "netns" });
      console.log(link.info().type);`,
  });
  const run = () =>
    deno(["run", "--no-lock", "--no-prompt", "--allow-ffi", "main.ts"], { cwd, cache: `${cwd}/cache`, registry });
  const cold = await run();
  assertEquals([cold.output, cold.code], ["netns\n", 0], cold.errors);
  const requests = registry.takeRequests();
  assert(requests.length <= 8, requests.join(" "));
  assertEquals(requests.filter((path) => path.endsWith(".d.ts")), [], "types are not fetched to run");
  const warm = await run();
  assertEquals([warm.output, warm.code], ["netns\n", 0], warm.errors);
  assertEquals(registry.takeRequests(), []);
});

Deno.test("deno add, then the name alone", async () => {
  await using registry = await Registry.serve(staged);
  const cwd = project("added", {
    "deno.json": "{}",
    "main.ts": `import { LINK_TYPES } from "@bpf/link"; console.log(LINK_TYPES.includes("tcx"));`,
  });
  const options = { cwd, cache: `${cwd}/cache`, registry };
  const added = await deno(["add", "jsr:@bpf/link"], options);
  assertEquals(added.code, 0, added.errors);
  assertEquals((await deno(["run", "--no-prompt", "main.ts"], options)).output, "true\n");
});

Deno.test("the command runs from the registry, and installed it has its name", async () => {
  await using registry = await Registry.serve(staged);
  const cwd = project("command", {});
  const options = { cwd, cache: `${cwd}/cache`, registry };
  const list = await deno(["run", "--no-prompt", "--allow-ffi", "jsr:@bpf/link/bpflink", "list", "--json"], options);
  assertEquals(typeof JSON.parse(list.output).source, "string", list.errors);
  const installed = await deno(["install", "-g", "--root", cwd, "--allow-ffi", "jsr:@bpf/link/bpflink"], options);
  assertEquals(installed.code, 0, installed.errors);
  assert(Deno.statSync(`${cwd}/bin/bpflink`).isFile);
});
