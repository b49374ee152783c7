/** The published package in use: a project gets it from a registry and runs it, on this processor. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { kernelTest } from "../fixture/run/kernel.ts";
import { objectPath, whyNoObjects } from "../object/build.ts";
import { deno, project } from "./project.ts";
import { Registry } from "./registry.ts";
import { STAGED, whyNotStaged } from "./staged.ts";

const missing = whyNotStaged();
const RUN = ["run", "--no-lock", "--no-prompt", "--allow-ffi"];
/** What `deno add` writes. */
const CONFIG = JSON.stringify({ imports: { "@bpf/link": "jsr:@bpf/link@^0.1" } });

/** A script, what it prints, and how many requests it may take at first. */
interface Script {
  readonly text: string;
  readonly output: RegExp;
  readonly requests: number;
}

const SCRIPTS: Readonly<Record<string, Script>> = {
  "README's first example": {
    text: missing === undefined ? exampleOfReadme() : "",
    output: /^\{\n {2}type: "netns",\n {2}id: \d+,/,
    requests: 8,
  },
  "a script with the low-level calls": {
    text: 'import { progLoad } from "@bpf/link/sys"; console.log(typeof progLoad, progLoad("sk_lookup",' +
      "new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), " +
      '{ expectedAttachType: "sk_lookup" }) > 2);',
    output: /^function true\n$/,
    requests: 6,
  },
};

/** The first of its examples in TypeScript. */
function exampleOfReadme(): string {
  return /^```ts\n([^]*?)^```/m.exec(Deno.readTextFileSync(`${STAGED}/README.md`))![1]!;
}

for (const [name, { text, output, requests }] of Object.entries(SCRIPTS)) {
  kernelTest(`${name} runs with --allow-ffi alone, cold and warm`, { needs: ["netns"], missing }, async () => {
    await using registry = await Registry.serve(STAGED);
    const cwd = project(name.replaceAll(/\W/g, "_"), { "deno.json": CONFIG, "main.ts": text });
    const run = () => deno([...RUN, "main.ts"], { cwd, cache: `${cwd}/cache`, registry });
    const cold = await run();
    assertMatch(cold.output, output, cold.errors);
    assertEquals(cold.code, 0, cold.errors);
    const asked = registry.takeRequests();
    assert(asked.length <= requests, asked.join(" "));
    assertEquals(asked.filter((path) => path.endsWith(".d.ts")), [], "types are not fetched to run");
    const warm = await run();
    assertMatch(warm.output, output, warm.errors);
    assertEquals(warm.code, 0, warm.errors);
    assertEquals(registry.takeRequests(), []);
  });
}

kernelTest("a compiled object is loaded with --allow-ffi alone", { missing: missing ?? whyNoObjects() }, async () => {
  await using registry = await Registry.serve(STAGED);
  const cwd = project("object", {
    "main.ts": `import { BpfObject } from "jsr:@bpf/link/object";
      using object = BpfObject.load("${objectPath("globals")}");
      console.log(object.loaded);`,
  });
  const { output, errors } = await deno([...RUN, "main.ts"], { cwd, cache: `${cwd}/cache`, registry });
  assertEquals(output, "true\n", errors);
});

kernelTest("the command runs from the registry, and installed it has its name", { missing }, async () => {
  await using registry = await Registry.serve(STAGED);
  const cwd = project("command", {});
  const options = { cwd, cache: `${cwd}/cache`, registry };
  const list = await deno([...RUN, "jsr:@bpf/link/bpflink", "list", "--json"], options);
  assertEquals(typeof JSON.parse(list.output).source, "string", list.errors);
  const installed = await deno(["install", "-g", "--root", cwd, "--allow-ffi", "jsr:@bpf/link/bpflink"], options);
  assertEquals(installed.code, 0, installed.errors);
  assert(Deno.statSync(`${cwd}/bin/bpflink`).isFile);
});
