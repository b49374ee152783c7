/** What a user sees of an error that nobody catches: in a program, in a test, on the console. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { MOD, runScript } from "../fixture/process/script.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

/** Loads a program that returns without an answer. */
const LOAD = `import { BpfMap, Program } from "${MOD}";
const load = () => Program.load({ type: "xdp", instructions: new Uint8Array([0x95, 0, 0, 0, 0, 0, 0, 0]) });`;
const MESSAGE = "BpfError: Cannot load xdp program: the verifier refuses the program: R0 !read_ok (EACCES)";
/** Hint and whole log, once. */
const DETAILS =
  /Hint: (the error's log has the verifier's way there|Initialize R0 [^\n]*)\nLog of the kernel:\n0: .*R0 !read_ok\n.*processed 1 /s;

function assertShown(text: string): void {
  assert(text.includes(MESSAGE), text);
  assertMatch(text, DETAILS);
  assertEquals(text.split("Log of the kernel").length, 2, text);
}

kernelTest("an uncaught error shows the verifier's words, the hint and the log", {}, async () => {
  assertShown((await runScript(`${LOAD} load();`, ["--allow-ffi"])).errors);
});

kernelTest("so does one on the console", {}, async () => {
  const { output } = await runScript(`${LOAD} try { load(); } catch (error) { console.log(error); }`, ["--allow-ffi"]);
  assertShown(output);
});

kernelTest("so does one in a user's test", {}, async () => {
  const file = Deno.makeTempFileSync({ suffix: "_test.ts" });
  try {
    Deno.writeTextFileSync(file, `${LOAD} Deno.test("load", () => { load(); });`);
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--no-config", "--no-lock", "--no-check", "--allow-ffi", file],
      env: { NO_COLOR: "1" },
      stderr: "piped",
    }).output();
    assertShown(new TextDecoder().decode(stdout));
  } finally {
    Deno.removeSync(file);
  }
});

kernelTest("an error without a log shows its hint; and as JSON all fields", {}, async () => {
  const script = `${LOAD} const make = () => BpfMap.create({ type: "array", keySize: 8, valueSize: 8, maxEntries: 1 });
    try { make(); } catch (error) { console.log(JSON.stringify(error)); }
    make();`;
  const { output, errors } = await runScript(script, ["--allow-ffi"]);
  const { name, code, command, reason, hint } = JSON.parse(output);
  assertEquals([name, code, command, reason], ["BpfError", "EINVAL", "MAP_CREATE", "invalid"]);
  if (hint !== undefined) assertMatch(errors, /Caused by: Hint: arrays have keys of 4 bytes/);
});
