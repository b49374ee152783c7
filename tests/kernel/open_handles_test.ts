/** Handles whose variable is lost: who made a link is told, who only looked at one lets go. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Link, openHandles } from "../../mod.ts";
import { MOD, type Outcome, runScript } from "../fixture/process/script.ts";
import { skLookup } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { collectGarbage } from "../fixture/run/memory.ts";
import { assertGone, isLinkFd } from "../fixture/run/state.ts";
import { until } from "../fixture/run/wait.ts";

/** Runs `body` in a process that can collect its garbage, with a program at hand. */
async function run(body: string): Promise<Outcome> {
  using program = skLookup();
  return await runScript(
    `
    import { Link, openHandles, Program } from "${MOD}";
    import { collectGarbage } from "${new URL("../fixture/run/memory.ts", import.meta.url)}";
    const program = Program.open(${program.id});
    const target = { type: "netns", attachType: "sk_lookup" };
    const attach = () => Link.attach(program, target);
    ${body}
    program.close();
  `,
    ["--allow-ffi"],
  );
}

const NETNS = { needs: ["netns"] } as const;

kernelTest("traceLeaks: a forgotten link is reported with where it was made, and stays attached", NETNS, async () => {
  const { code, output, errors } = await run(`
    Link.traceLeaks = true;
    function careless() { return attach().id; }
    const id = careless();
    await collectGarbage();
    using found = Link.open(id);
    const [handle] = openHandles().filter(({ fd, origin }) => origin !== undefined && fd !== found.fd);
    const [, first, second] = handle.origin.split("\\n"); // the user's frames come first
    console.log(id, found.attached(), handle.kind, first.includes("at attach ") && second.includes("at careless "));
  `);
  assertEquals(code, 0, errors);
  // the first frames are the user's
  assertMatch(
    errors,
    /^A link \(fd \d+\) was forgotten without being closed; it was made\n +at attach .*\n +at careless/,
  );
  assertEquals(errors.match(/forgotten/g)!.length, 1);
  const [id, ...rest] = output.trim().split(" ");
  assertEquals(rest, ["true", "link", "true"]);
  await assertGone(Number(id));
});

kernelTest("traceLeaks: what was closed, released, or is still held is not reported", NETNS, async () => {
  const { code, output, errors } = await run(`
    Link.traceLeaks = true;
    const held = attach();
    (() => { attach().close(); using link = attach(); })();
    await (async () => { await attach().closeAsync(); })();
    const fd = (() => attach().release())();
    const controller = new AbortController();
    (() => { Link.attach(program, target, { signal: controller.signal }); })();
    (() => { using group = Link.attachAll([[program, target], [program, target]]); })();
    controller.abort();
    await collectGarbage();
    console.log(openHandles().filter(({ kind }) => kind === "link").length, held.closed, fd >= 3);
    held.close();
  `);
  assertEquals([code, errors, output], [0, "", "1 false true\n"]);
});

kernelTest("without traceLeaks nothing is said", NETNS, async () => {
  const { code, output, errors } = await run(`
    (() => { attach(); })();
    await collectGarbage();
    console.log(openHandles().filter(({ kind }) => kind === "link").map(({ origin }) => origin));
  `);
  assertEquals([code, errors, output], [0, "", "[ undefined ]\n"]);
});

kernelTest("a forgotten opened handle is closed; openHandles() no longer lists it", NETNS, async () => {
  using program = skLookup();
  using link = Link.attach(program, { type: "netns" });
  const before = openHandles();
  const fds = [() => Link.open(link.id).fd, () => Link.fromFd(link.fd).fd].map((open) => open());
  assertEquals(openHandles().length, before.length + 2);
  await collectGarbage();
  await until(() => !fds.some(isLinkFd), "the opened handles are closed");
  assertEquals(openHandles(), before);
  assert(link.attached());
});
