/**
 * Mutated objects: the native library and all above it in child processes with little memory. What an object makes of
 * them is an error or an object, never the end of the process. As many as the environment variable
 * BPF_LINK_TEST_MUTANTS says.
 */
import { assert, assertEquals } from "@std/assert";
import { objectLibraryBytes } from "../../lib/ffi/object/library.ts";
import { numbers } from "../../lib/ffi/object/symbols.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { objects, programPath, whyNoObjects } from "./build.ts";

const COUNT = Number(Deno.env.get("BPF_LINK_TEST_MUTANTS") ?? 2000);
/** One of so many is loaded too. */
const LOADS = 20;
/** One of so many goes through all of the package, in processes that take this many. */
const WHOLE = 4, BATCH = 250;
const MEGABYTES = 512;

const missing = whyNoObjects() ?? (programPath("mutate") === undefined ? "needs gcc" : undefined);

kernelTest(`${COUNT} mutated objects in the native library`, { missing, deadlineMs: 1_200_000 }, async () => {
  const scratch = Deno.makeTempDirSync();
  try {
    const library = `${scratch}/library.so`, half = Math.ceil(COUNT / 2);
    Deno.writeFileSync(library, objectLibraryBytes());
    const results = await Promise.all([0, half].map((first) => mutate(library, scratch, first, half, LOADS)));
    for (const { output, code } of results) {
      assertEquals(code, 0, output);
      const [refused, opened, loaded] = output.match(/\d+/g)!.map(Number);
      assert(refused! > half / 10 && opened! > half / 10 && loaded! > 0, output); // else it tests nothing
    }
  } finally {
    Deno.removeSync(scratch, { recursive: true });
  }
});

kernelTest("mutated objects in BpfObject", { missing, deadlineMs: 1_200_000 }, async () => {
  for (let first = 0; first < COUNT / WHOLE; first += BATCH) {
    const scratch = Deno.makeTempDirSync();
    try {
      const count = Math.min(BATCH, Math.ceil(COUNT / WHOLE) - first);
      const { code, output } = await mutate("", scratch, first, count, 0, { MUTATE_WRITE: scratch });
      assertEquals(code, 0, output);
      // V8 reserves so many addresses that a limit of those cannot be set
      const script = new URL("mutants.ts", import.meta.url).pathname;
      const limit = `--v8-flags=--max-old-space-size=${MEGABYTES / 2}`;
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", limit, script, scratch],
        signal: AbortSignal.timeout(600_000),
      }).output();
      assert(success, new TextDecoder().decode(stderr));
      const { opened, refused, megabytes } = JSON.parse(new TextDecoder().decode(stdout));
      assert(megabytes < MEGABYTES, `the process took ${megabytes} MB`);
      assertEquals(opened + refused, count);
      assert(opened > 0 && refused > 0, `${opened} opened, ${refused} refused`);
    } finally {
      Deno.removeSync(scratch, { recursive: true });
    }
  }
});

async function mutate(
  library: string,
  pins: string,
  first: number,
  count: number,
  loads: number,
  env: Record<string, string> = {},
): Promise<{ output: string; code: number }> {
  const paths = [...objects()!.values()];
  const args = [library, numbers.describe.MAP_FIELDS, pins, first, count, loads, ...paths].map(String);
  const { code, stdout, stderr } = await new Deno.Command(programPath("mutate")!, { args, env }).output();
  return { output: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr), code };
}
