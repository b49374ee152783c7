/** Tests of users, with Deno's sanitizers: the first one that uses the package is as good as the others. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { MOD } from "../fixture/process/script.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

const TESTS = `
  import { BpfMap, Link, Program } from "${MOD}";
  const instructions = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
  const load = () => Program.load({ type: "sk_lookup", expectedAttachType: "sk_lookup", instructions });
  Deno.test("calls", () => {
    using program = load();
    using link = Link.attach(program, { type: "netns" });
    link.info();
  });
  Deno.test("calls on another thread", async () => {
    using program = load();
    await using link = await Link.attachAsync(program, { type: "netns" });
    link.info();
  });
  Deno.test("a ring", async () => {
    using map = BpfMap.create({ type: "ringbuf", maxEntries: 4096 });
    const records = map.records(), step = records.next();
    await records.return();
    await step;
    // the thread that waits is woken, and ends soon
    await new Promise((resolve) => setTimeout(resolve, 50));
  });
`;

kernelTest("--sanitize-resources and --sanitize-ops have nothing to say", { needs: ["netns"] }, async () => {
  const file = Deno.makeTempFileSync({ prefix: "bpf-link-sanitized-", suffix: "_test.ts" });
  Deno.writeTextFileSync(file, TESTS);
  try {
    for (const only of ["calls", "/thread/", "/ring/"]) {
      const { code, stdout } = await new Deno.Command(Deno.execPath(), {
        args: [
          "test",
          "-A",
          "--no-check",
          "--no-config",
          "--no-lock",
          "--sanitize-resources",
          "--sanitize-ops",
          `--filter=${only}`,
          file,
        ],
        env: { NO_COLOR: "1" },
        stderr: "null",
      }).output();
      const text = new TextDecoder().decode(stdout);
      assertStringIncludes(text, "0 failed", text);
      assertEquals(code, 0);
    }
  } finally {
    Deno.removeSync(file);
  }
});
