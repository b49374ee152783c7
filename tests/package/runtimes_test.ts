/** The package under the oldest Deno that works, and under runtimes that get one clear sentence. */
import { assert, assertStringIncludes } from "@std/assert";
// these packages are runtimes: imported, they are fetched before the tests lose the network
import "npm:@deno/linux-x64-glibc@2.5.0/package.json" with { type: "json" };
import "npm:@deno/linux-x64-glibc@2.2.0/package.json" with { type: "json" };
import "npm:@oven/bun-linux-x64@1.3.0/package.json" with { type: "json" };
import { fileURLToPath } from "node:url";
import { kernelTest } from "../fixture/run/kernel.ts";
import { STAGED, whyNotStaged } from "./staged.ts";

const folder = Deno.makeTempDirSync({ prefix: "bpf-link-runtimes-" });
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
// without syntax that old runtimes do not know
Deno.writeTextFileSync(
  `${folder}/main.mjs`,
  `import { Link, Program } from "${STAGED}/mod.js";
  const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
  try {
    const program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
    const link = Link.attach(program, { type: "netns" });
    console.log("attached to", link.info().type);
    link.close();
  } catch (error) {
    console.log(error.message);
  }`,
);

const missing = whyNotStaged();
const foreign = Deno.build.arch === "x86_64" ? missing : "needs x86_64";
const deno = ["run", "--no-lock", "--no-prompt", "--allow-ffi", "--allow-read"];

kernelTest("the oldest Deno that works attaches a link", { needs: ["netns"], missing: foreign }, async () => {
  assertStringIncludes(await run(installed("@deno/linux-x64-glibc@2.5.0/deno"), deno), "attached to netns");
});

kernelTest("an older Deno is told which it must be", { missing: foreign }, async () => {
  const output = await run(installed("@deno/linux-x64-glibc@2.2.0/deno"), deno);
  assertStringIncludes(output, "@bpf/link needs Deno 2.5 or newer, this is 2.2.0; run deno upgrade");
});

kernelTest("Bun is told that it takes Deno", { missing: foreign }, async () => {
  const output = await run(installed("@oven/bun-linux-x64@1.3.0/bin/bun"), []);
  assertStringIncludes(output, "@bpf/link works under Deno only");
});

// the registry's npm layer says that the package is of modules, the folder does not
const find = 'command -v node && node -e "process.exit(process.features.require_module ? 0 : 1)"';
const node = new Deno.Command("sh", { args: ["-c", find], stderr: "null" }).outputSync();

kernelTest("Node is told that it takes Deno", {
  missing: node.success ? missing : "needs a Node that knows modules by their syntax: 20.19 or newer",
}, async () => {
  const output = await run(new TextDecoder().decode(node.stdout).trim(), []);
  assertStringIncludes(output, "@bpf/link works under Deno only");
});

/** A file of a package, to be run. */
function installed(file: string): string {
  const path = fileURLToPath(import.meta.resolve(`npm:${file}`));
  Deno.chmodSync(path, 0o755);
  return path;
}

async function run(runtime: string, args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(runtime, {
    args: [...args, "main.mjs"],
    cwd: folder,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
  }).output();
  const output = new TextDecoder().decode(stdout);
  assert(output.length > 0, new TextDecoder().decode(stderr));
  return output;
}
