/** Examples of what goes on after attaching: links that outlive a run, are guarded, listed, tested; sockets that are redirected. */
import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { Link, Program } from "../../mod.ts";
import { BpfObject } from "../../lib/object/mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { objectPath, whyNoObjects } from "../object/build.ts";
import { Example, inCgroup, run } from "./running.ts";

const missing = whyNoObjects();

kernelTest("example upgrade: a program that nobody needs to run is replaced, and its counts go on", {
  needs: ["cgroup2", "bpffs", "netns"],
  since: "5.12",
  missing,
}, async () => {
  using cgroup = new Cgroup();
  using pins = new PinDirectory();
  const deploy = async () => {
    await using example = new Example("upgrade", [objectPath("upgrade"), cgroup.path, pins.path]);
    const line = await example.line(/until now$/);
    assertEquals(await example.ended(), 0);
    using link = Link.openPinned(pins.pin("count"));
    return { line, id: link.id, program: link.info().programId };
  };
  const first = await deploy();
  assertEquals(first.line, `created link ${first.id}: 0 packets of 0 bytes until now`);
  await run([...inCgroup(cgroup.path), Deno.execPath(), "eval", connectTo(9)]);
  const second = await deploy();
  assertMatch(second.line, new RegExp(`^updated link ${first.id}: [1-9]\\d* packets of [1-9]\\d* bytes`));
  assertNotEquals(second.program, first.program);
  using link = Link.openPinned(pins.pin("count"));
  link.unpin();
  link.detach();
});

kernelTest("example watchdog: who detaches the program, or puts another in its place, finds it back", {
  needs: ["cgroup2", "netns"],
  since: "5.12",
  missing,
}, async () => {
  using cgroup = new Cgroup();
  await using example = new Example("watchdog", [objectPath("watchdog"), cgroup.path, "9"]);
  const idIn = (line: string) => Number(/link (\d+)/.exec(line)![1]);
  const first = idIn(await example.line(/^guarding/));
  const outcome = (port: number) => run([...inCgroup(cgroup.path), Deno.execPath(), "eval", connectTo(port)]);
  assertEquals([await outcome(9), await outcome(10)], ["forbidden\n", "tried\n"]);
  {
    using link = Link.open(first), other = BpfObject.load(objectPath("watchdog"));
    link.update(other.program("guard"));
    assertEquals(idIn(await example.line(/: updated$/)), first);
    link.detach();
  }
  assertMatch(await example.line(/attached as/), new RegExp(`^link ${first} was detached: attached as \\d+$`));
  assertEquals(await outcome(9), "forbidden\n");
  assertEquals(await example.interrupted(), 0);
  assertEquals(example.lines.at(-1), "refused 2");
});

kernelTest("example owners: a table of links with who holds them", { needs: ["bpffs", "netns"] }, async () => {
  using pins = new PinDirectory();
  const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
  const lookup = { type: "sk_lookup", expectedAttachType: "sk_lookup", name: "steer", instructions: accept } as const;
  using program = Program.load(lookup);
  using link = Link.attach(program, { type: "netns" });
  link.pin(pins.pin("lookup"));
  await using example = new Example("owners", []);
  assertMatch(
    await example.line(new RegExp(`\\b${link.id}\\b`)),
    new RegExp(`sk_lookup.*"steer".*\\S+\\(${Deno.pid}\\).* ${pins.pin("lookup")}`),
  );
  assertEquals(await example.ended(), 0);
  link.unpin();
  link.detach();
});

kernelTest("example redirect: one server for a range of ports, past the network stack", {
  needs: ["cgroup2", "netns"],
  since: "6.10",
  missing,
}, async () => {
  using cgroup = new Cgroup();
  const args = [objectPath("redirect"), cgroup.path, "7000", "7999"];
  await using example = new Example("redirect", args, ["--allow-net"], inCgroup(cgroup.path));
  await example.line(/^serving/);
  assertEquals(await run([...inCgroup(cgroup.path), Deno.execPath(), "eval", ask(7777)]), "7777\n");
  assertEquals(await example.interrupted(), 0);
  assertEquals(await example.line(/^steered/), "steered 1, redirected 2"); // question and answer
});

kernelTest("example short: tests of a program that say where they leave something", {
  needs: ["netns"],
  since: "5.12",
  missing,
}, async () => {
  const file = new URL("short.test.ts", import.meta.url).pathname, careless = Deno.makeTempDirSync();
  try {
    const whole = Deno.readTextFileSync(file);
    const leak = 'Deno.test("careless", () => {\n  BpfObject.load(file).program("drop_short");\n});\n';
    Deno.writeTextFileSync(`${careless}/careless.test.ts`, whole + leak);
    const test = async (path: string) => {
      const args = ["test", "--no-check", "--allow-ffi", "--allow-env=OBJECT", "--config", CONFIG, path];
      const env = { OBJECT: objectPath("short"), NO_COLOR: "1" };
      const { code, stdout } = await new Deno.Command(Deno.execPath(), { args, env }).output();
      return { code, output: new TextDecoder().decode(stdout) };
    };
    const good = await test(file);
    assertEquals(good.code, 0, good.output);
    assertMatch(good.output, /2 passed \| 0 failed/);
    const bad = await test(`${careless}/careless.test.ts`);
    assertMatch(bad.output, /2 passed \| 1 failed/);
    assertMatch(bad.output, /kind: "program"[^]*careless\.test\.ts:\d+/); // where it was made
  } finally {
    Deno.removeSync(careless, { recursive: true });
  }
});

const CONFIG = new URL("../../.deno.offline.json", import.meta.url).pathname;

/** Connects to a port of this machine, and prints what became of it. */
const connectTo = (port: number) => `
  import { connect } from "node:net";
  connect(${port}, "127.0.0.1").on("error", ({ code }) => console.log(code === "ECONNREFUSED" ? "tried" : "forbidden"));`;

/** Says something to a server, and prints what it answers. */
const ask = (port: number) => `
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: ${port} });
  await connection.write(new TextEncoder().encode("hello\\n"));
  const bytes = new Uint8Array(100), length = await connection.read(bytes);
  console.log(new TextDecoder().decode(bytes.subarray(0, length)).trim());`;
