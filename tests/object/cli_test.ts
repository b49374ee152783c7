/** `bpflink load` and `bpflink run`: a compiled object as a tool, in a process that may do nothing but load the library. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { BpfMap, Link, Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { answerOf, bpflink, startBpflink } from "../fixture/process/bpflink.ts";
import { kernelTest, type Requirements } from "../fixture/run/kernel.ts";
import { inOwnVm } from "../fixture/run/own.ts";
import { objectPath, whyNoObjects } from "./build.ts";

/** An emulated machine takes many seconds to start the command. */
function cliTest(name: string, requirements: Requirements, fn: () => Promise<void>): void {
  const missing = whyNoObjects() ?? (inOwnVm() ? "needs a machine that is not emulated" : undefined);
  kernelTest(`bpflink ${name}`, { missing, ...requirements }, fn);
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string, void, void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

cliTest("run: records as lines of JSON until it is interrupted, and then nothing is left", {}, async () => {
  for (const [signal, args] of [["SIGINT", []], ["SIGTERM", ["--events", "events=event"]]] as const) {
    const child = startBpflink(["run", objectPath("execs"), "--set", "count=1000", "--json", ...args]);
    const lines = linesOf(child.stdout);
    const { links, programs, maps } = JSON.parse((await lines.next()).value!);
    assertEquals(links.map(({ type }: { type: string }) => type), ["raw_tracepoint"]);
    assertEquals(programs.map(({ name }: { name: string }) => name), ["executed"]);
    assert(maps.some(({ name }: { name: string }) => name === "events"));
    const executed = new Deno.Command("/proc/self/exe", { args: ["--version"], stdout: "null" }).spawn();
    await executed.status;
    for await (const line of lines) {
      const { map, record } = JSON.parse(line);
      assertEquals(map, "events");
      if (record.pid !== executed.pid) continue;
      assert(Number(record.count) > 1000);
      assertEquals(typeof record.count, "string");
      assertMatch(record.command, /^\w+$/);
      break;
    }
    child.kill(signal);
    const [{ code }, errors] = await Promise.all([child.status, new Response(child.stderr).text()]);
    assertEquals([code, errors], [0, ""]);
  }
});

cliTest("run: records of a perf buffer", {}, async () => {
  const child = startBpflink(["run", objectPath("perf_buffer"), "--json"]);
  const lines = linesOf(child.stdout);
  await lines.next();
  const executed = new Deno.Command("/proc/self/exe", { args: ["--version"], stdout: "null" }).spawn();
  await executed.status;
  for await (const line of lines) {
    const { map, record } = JSON.parse(line);
    if (map !== "events" || record?.pid !== executed.pid) continue;
    assertMatch(record.at, /^\d+$/);
    break;
  }
  child.kill("SIGINT");
  const [{ code }, errors] = await Promise.all([child.status, new Response(child.stderr).text()]);
  assertEquals([code, errors], [0, ""]);
});

cliTest("run: what is attached where, and pinned while it runs", { needs: ["cgroup2", "bpffs"] }, async () => {
  using cgroup = new Cgroup();
  using pins = new PinDirectory();
  const directory = pins.pin("tool");
  const child = startBpflink([
    ...["run", objectPath("execs"), "--program", "leaving", "--attach", `leaving=${cgroup.path}`],
    ...["--pin", directory, "--json"],
  ]);
  const lines = linesOf(child.stdout);
  const { links } = JSON.parse((await lines.next()).value!);
  assertEquals([links[0].cgroupPath, links[0].pin], [cgroup.path, `${directory}/links/leaving`]);
  {
    using link = Link.openPinned(links[0].pin);
    using program = Program.openPinned(`${directory}/programs/leaving`);
    assertEquals(link.info().programId, program.id);
  }
  child.kill("SIGTERM");
  await lines.return();
  const [{ code }, errors] = await Promise.all([child.status, new Response(child.stderr).text()]);
  assertEquals([code, errors], [0, ""]);
  for (const kind of ["programs", "maps", "links"]) assertEquals([...Deno.readDirSync(`${directory}/${kind}`)], []);
});

cliTest("run: in words, and what is not shown", {}, async () => {
  const child = startBpflink(["run", objectPath("execs")]);
  const errors = linesOf(child.stderr);
  assertEquals((await errors.next()).value, "bpflink: execs: 1 link, until interrupted");
  assertEquals((await errors.next()).value, "bpflink: records of events are struct event");
  child.kill("SIGINT");
  await errors.return();
  await child.stdout.cancel();
  assertEquals((await child.status).code, 0);
});

cliTest("run: a reader that goes away ends it", {}, async () => {
  const child = startBpflink(["run", objectPath("execs"), "--json"]);
  await child.stdout.cancel();
  let isOver = false;
  const status = child.status.finally(() => isOver = true);
  while (!isOver) await new Deno.Command("/proc/self/exe", { args: ["--version"], stdout: "null" }).output();
  const [{ code }, errors] = await Promise.all([status, new Response(child.stderr).text()]);
  assertEquals([code, errors], [0, ""]);
});

cliTest("load: pins outlive the command, and variables have the values that were said", {
  needs: ["cgroup2", "bpffs"],
}, async () => {
  using cgroup = new Cgroup();
  using pins = new PinDirectory();
  const directory = pins.pin("a/b");
  const { links, programs } = await answerOf([
    ...["load", objectPath("execs"), "--pin", directory, "--program", "leaving"],
    ...["--attach", `leaving=cgroup=${cgroup.path}`],
  ]);
  {
    using link = Link.openPinned(`${directory}/links/leaving`);
    assertEquals([link.type, link.info().programId], ["cgroup", programs![0]!.id]);
    assertEquals(links![0]!.id, link.id);
    link.detach();
    link.unpin();
  }
  const values = [
    ...["packets=0x10", "over_limit=PASS", "own=-3", "name=abc", "sizes=[1,2,3,4,5,6,7,18446744073709551615]"],
    'limits={"packets":7,"port":8,"enabled":true}',
  ].map((value) => value.replace("18446744073709551615", '"18446744073709551615"'));
  const globals = pins.pin("globals");
  await answerOf([
    ...["load", objectPath("globals"), "--pin", globals],
    ...values.flatMap((value) => ["--set", value]),
  ]);
  using bss = BpfMap.openPinned(`${globals}/maps/globals_bss`);
  using constants = BpfMap.openPinned(`${globals}/maps/globals_rodata`);
  const first = new Uint8Array(4), numbers = new BigUint64Array(bss.lookup(first)!.buffer.slice(0));
  assert(numbers.includes(16n) && numbers.includes(2n ** 64n - 1n), `${numbers}`);
  const text = new TextDecoder("latin1").decode(constants.lookup(first)!);
  assert(text.includes("abc\0") && text.includes("\x07\0\0\0\x08\0\x01"), JSON.stringify(text));
});

cliTest("load: without pins it tells whether the kernel takes it, in a table", {}, async () => {
  const { code, output, errors } = await bpflink(["load", objectPath("execs")]);
  const [titles, ...rows] = output.trimEnd().split("\n");
  assertEquals([code, errors, titles!.trim().split(/ +/)], [0, "", ["ID", "NAME", "TYPE", "SECTION", "PIN"]]);
  assertMatch(output, /Nothing is left of it: pin it by --pin DIRECTORY\.\n$/);
  assertMatch(rows[0]!, /^program +\d+ +executed +raw_tracepoint +raw_tp\/sched_process_exec +-$/);
});

cliTest("load: the whole log of a program that the verifier refuses is printed", {}, async () => {
  const args = ["load", objectPath("refused"), "--program", "no_check"];
  const { code, errors } = await bpflink(args);
  assertEquals(code, 1);
  assertMatch(errors, /^bpflink: Cannot load .*\n {2}hint: .*\n {2}log of the kernel:\n( {4}.*\n)+$/);
  const json = await bpflink([...args, "--json"]);
  const { log } = JSON.parse(json.errors).error;
  assertMatch(log, /R0 invalid mem access/);
});

cliTest("run: one program that cannot be attached says why, for all", { needs: ["netns"], since: "6.6" }, async () => {
  const args = ["run", objectPath("attach"), "--program", "sk_lookup", "--program", "tc_ingress"];
  const { code, errors } = await bpflink([...args, "--attach", "tc_ingress=nowhere0"]);
  assertEquals(code, 3); // there is no such interface
  assertMatch(errors, /^bpflink: Cannot attach "tc_ingress", so none is attached: .*\n {2}hint: .*ip link/);
});

cliTest("load and run: what is wrong with the command line", { needs: ["bpffs"] }, async () => {
  using pins = new PinDirectory();
  const path = objectPath("execs"), leaving = ["--program", "leaving"];
  for (
    const [args, code, words] of [
      [["load"], 2, /the arguments of load are FILE\.bpf\.o/],
      [["run", path, "--attach", "x"], 2, /--attach takes NAME=TARGET, not "x"/],
      [["run", path, "--attach", "execute=x"], 2, /has no program "execute"; did you mean executed/],
      [["run", path, ...leaving], 2, /leaves open its cgroup: --attach leaving=CGROUP/],
      [["run", path, ...leaving, "--attach", "leaving=cgroup=/y,x"], 2, /FIELD=VALUE,FIELD=VALUE/],
      [["run", path, ...leaving, "--attach", "leaving={"], 2, /must be JSON/],
      [["run", path, "--no-attach", "exec"], 2, /it has executed, leaving/],
      [["run", path, "--program", "exec"], 2, /has no program "exec"/],
      [["run", path, "--set", "count"], 2, /--set takes NAME=VALUE/],
      [["run", path, "--set", "count=many"], 2, /--set count: "many" is no value for it/],
      [["run", path, "--set", "counts=1"], 2, /did you mean "count"/],
      [["run", path, "--events", "rings=event"], 2, /has no buffer "rings"; it has events/],
      [["run", path, "--events", "events=evt"], 2, /has no type "evt"/],
      [["load", path, "--attach-all"], 2, /give --pin DIRECTORY too/],
      [["load", "/proc/self/comm"], 1, /no ELF file/],
      [["load", path, "--pin", "/tmp"], 3, /below a bpf mount/],
      [["load", `${path}.none`], 1, /there is no such file/],
    ] as const
  ) {
    const ran = await bpflink(args);
    assertEquals([ran.code, ran.output], [code, ""], `${args}: ${ran.errors}`);
    assertMatch(ran.errors, words);
  }
  assertEquals(pins.pins, []);
});
