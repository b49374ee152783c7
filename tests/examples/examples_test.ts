/** The examples, run as their users do: with the permissions that their comments name, and nothing but their output. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import { Hook } from "@bpf/link";
import { guide } from "../doc/guide.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { Loopback } from "../fixture/place/loopback.ts";
import { Running } from "../fixture/process/running.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { objectPath, programPath, whyNoObjects } from "../object/build.ts";
import { Example, inCgroup, run } from "./running.ts";

const missing = whyNoObjects();
const unprobed = missing ?? (programPath("probed") === undefined ? "needs lld" : undefined);

kernelTest(
  "example opens: who opens which file in a cgroup",
  { needs: ["cgroup2"], since: "5.15", missing },
  async () => {
    using cgroup = new Cgroup();
    const file = Deno.makeTempFileSync();
    try {
      await using example = new Example("opens", [objectPath("opens"), cgroup.path]);
      await example.line(/^watching/);
      await run(["cat", file]); // somebody else
      await run([...inCgroup(cgroup.path), "cat", file]);
      const line = await example.line(new RegExp(`${file}$`));
      assertMatch(line, /^cat \(\d+\) \//);
      assertEquals(await example.interrupted(), 0);
      assertEquals(example.lines.filter((line) => line.endsWith(file)).length, 1);
    } finally {
      Deno.removeSync(file);
    }
  },
);

Deno.test("the guide from C to an effect has the C of opened.bpf.c", () => {
  const source = Deno.readTextFileSync(new URL("opened.bpf.c", import.meta.url));
  assertStringIncludes(guide("lib/object/mod.ts"), `\`\`\`c\n${source}\`\`\`\n`);
});

kernelTest("example traffic: bytes per process and connection of a cgroup", {
  needs: ["cgroup2", "netns"],
  since: "5.12",
  missing,
}, async () => {
  using cgroup = new Cgroup();
  await using example = new Example("traffic", [objectPath("traffic"), cgroup.path, "0.2"]);
  await example.line(/^watching/);
  const port = await run([...inCgroup(cgroup.path), Deno.execPath(), "eval", TALK]);
  const line = await example.line(new RegExp(`tcp 127\\.0\\.0\\.1:${port.trim()} `));
  const [, sent, received] = /^\S+ \(\d+\) .* sent (\d+) received (\d+)$/.exec(line)!;
  assert(Number(sent) > 40 && Number(received) > 40, line); // a handshake at least, as it may be that early
  assertEquals(await example.interrupted(), 0);
});

kernelTest(
  "example blocklist: an XDP block list that is changed while it runs",
  { needs: ["netns"], since: "5.12", missing },
  async () => {
    using traffic = await Loopback.open();
    await using example = new Example("blocklist", [objectPath("blocklist"), "lo"]);
    await example.line(/^filtering lo/);
    assert(await traffic.passes());
    await example.write("+127.0.0.0/8\n");
    await example.line(/^done: \+127/);
    assert(!await traffic.passes());
    await example.write("\n");
    assertMatch(await example.line(/dropped/), /^127\.0\.0\.0\/8 dropped [1-9]/);
    assertMatch(await example.line(/^passed/), /^passed [1-9]/);
    const [before] = Hook.query({ type: "xdp", device: "lo" }).entries;
    for (let times = 0; times < 2; times++) {
      await example.write("reload\n");
      await example.line(/^done: reload/);
      assert(!await traffic.passes()); // the list is the same
    }
    const [after] = Hook.query({ type: "xdp", device: "lo" }).entries;
    assertEquals(after!.linkId, before!.linkId);
    assertNotEquals(after!.programId, before!.programId);
    await example.write("\n");
    assertMatch(await example.line(/^passed/), /^passed 0$/);
    await example.write("-127.0.0.0/8\n");
    await example.line(/^done: -127/);
    assert(await traffic.passes());
    assertEquals(await example.ended(), 0);
  },
);

kernelTest(
  "example latency: a histogram of how long a function takes",
  { since: "5.15", missing: unprobed },
  async () => {
    const path = programPath("probed")!;
    await using _probed = new Running([path], { stdin: "piped" });
    await using example = new Example("latency", [objectPath("latency"), path, "work", "1"]);
    await example.line(/^measuring work/);
    const line = await example.line(/ us +\d+ #/);
    const [, most] = /to (\d+) us/.exec(line)!;
    assert(Number(most) > 4000, line); // it sleeps for 5 ms
    assertEquals(await example.ended(), 0);
  },
);

kernelTest("example usdt_probe: the arguments of a USDT probe", { since: "5.15", missing: unprobed }, async () => {
  const path = programPath("probed")!;
  await using example = new Example("usdt_probe", [objectPath("usdt_probe"), path, "demo", "step"]);
  await example.line(/^watching demo:step/);
  await using _probed = new Running([path], { stdin: "piped" });
  assertMatch(await example.line(/^probed/), /^probed \(\d+\) (\d+) -\1$/);
  assertEquals(await example.interrupted(), 0);
});

kernelTest("example packets: packets and bytes a second of an interface", {
  needs: ["netns"],
  since: "6.6",
  missing,
}, async () => {
  using traffic = await Loopback.open();
  await using example = new Example("packets", [objectPath("packets"), "lo"]);
  await example.line(/^counting lo/);
  assert(await traffic.passes());
  assertMatch(await example.line(/^received [1-9]/), /^received \d+ packets\/s, [1-9]\d* bytes\/s$/);
  assertMatch(await example.line(/^sent/), /^sent [1-9]\d* packets\/s, [1-9]\d* bytes\/s$/);
  assertEquals(await example.interrupted(), 0);
});

kernelTest(
  "example allocations: how much memory a command asks malloc for",
  { since: "5.15", missing },
  async () => {
    await using example = new Example("allocations", [objectPath("allocations"), Deno.execPath(), "--version"], [
      "--allow-run",
    ]);
    assertMatch(await example.line(/^from \d+ bytes/), /^from \d+ bytes: [1-9]\d*$/);
    assertEquals(await example.ended(), 0);
  },
);

kernelTest("example quota: a cgroup that may send so many bytes a second", {
  needs: ["cgroup2", "netns"],
  since: "5.12",
  missing,
}, async () => {
  using cgroup = new Cgroup();
  await using example = new Example("quota", [objectPath("quota"), cgroup.path, "1000", "0.2"]);
  await example.line(/^limiting/);
  const send = [...inCgroup(cgroup.path), Deno.execPath(), "eval", SEND];
  assertEquals(await run([...send, "700"]), "sent\n");
  assertMatch(await example.line(/^sent [1-9]/), /^sent 728 bytes, dropped 0 until now$/);
  assertEquals(await run([...send, "1000"]), "refused\n");
  await example.line(/^sent 0 bytes, dropped 1028 until now$/);
  assertEquals(await run([...send, "700"]), "sent\n"); // the quota is renewed
  assertEquals(await example.interrupted(), 0);
  assertEquals(await run([...send, "1000"]), "sent\n");
});

kernelTest("example offline: a cgroup without network while a command runs, without clang", {
  needs: ["cgroup2", "netns"],
}, async () => {
  using cgroup = new Cgroup();
  const send = [...inCgroup(cgroup.path), Deno.execPath(), "eval", SEND];
  await using example = new Example("offline", [cgroup.path, ...send], ["--allow-run"]);
  await example.line(/^refused$/);
  assertEquals(await example.ended(), 0);
  assertEquals(await run(send), "sent\n"); // and then it is back
});

/** Talks with itself by TCP, and prints the server's port. */
const TALK = `
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [client, server] = await Promise.all([Deno.connect(listener.addr), listener.accept()]);
  await client.write(new Uint8Array(100));
  await server.read(new Uint8Array(100));
  await server.write(new Uint8Array(50));
  await client.read(new Uint8Array(50));
  console.log(listener.addr.port);
  Deno.exit();`;

/** Sends a datagram to nobody, of so many bytes, and prints what became of it. */
const SEND = `
  import { createSocket } from "node:dgram";
  const socket = createSocket("udp4");
  socket.send("x".repeat(Number(Deno.args[0] ?? 5)), 9, "127.0.0.1", (error) => {
    console.log(error ? "refused" : "sent");
    socket.close();
  });`;
