/** The examples, run as their users do: with the permissions that their comments name, and nothing but their output. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { Loopback } from "../fixture/place/loopback.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { inTime } from "../fixture/run/wait.ts";
import { objectPath, programPath, whyNoObjects } from "../object/build.ts";

const FOLDER = new URL(".", import.meta.url).pathname;
const PATIENCE_MS = 120_000;

const missing = whyNoObjects();
const unprobed = missing ?? (programPath("probed") === undefined ? "needs lld" : undefined);
/** A command that runs another in a cgroup. */
const inCgroup = (path: string) => ["sh", "-c", 'echo 0 >"$0/cgroup.procs"; exec "$@"', path];

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

kernelTest("example traffic: bytes per process and connection of a cgroup", {
  needs: ["cgroup2", "netns"],
  since: "5.11",
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
  { needs: ["netns"], missing },
  async () => {
    using traffic = await Loopback.open();
    await using example = new Example("blocklist", [objectPath("blocklist"), "lo"]);
    await example.line(/^filtering lo/);
    assert(await traffic.passes());
    await example.write("+127.0.0.0/8\n");
    await example.line(/^blocked 127/);
    assert(!await traffic.passes());
    await example.write("\n");
    assertMatch(await example.line(/dropped/), /^127\.0\.0\.0\/8 dropped [1-9]/);
    assertMatch(await example.line(/^passed/), /^passed [1-9]/);
    await example.write("-127.0.0.0/8\n");
    await example.line(/^free 127/);
    assert(await traffic.passes());
    assertEquals(await example.ended(), 0);
  },
);

kernelTest(
  "example latency: a histogram of how long a function takes",
  { since: "5.15", missing: unprobed },
  async () => {
    const path = programPath("probed")!;
    await using _probed = new Running(path, []);
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
  await using _probed = new Running(path, []);
  assertMatch(await example.line(/^probed/), /^probed \(\d+\) (\d+) -\1$/);
  assertEquals(await example.interrupted(), 0);
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

/** Sends a datagram to nobody, and prints what became of it. */
const SEND = `
  import { createSocket } from "node:dgram";
  const socket = createSocket("udp4");
  socket.send("hello", 9, "127.0.0.1", (error) => {
    console.log(error ? "refused" : "sent");
    socket.close();
  });`;

/** A process whose output is read line by line; it is ended with the scope. */
class Running implements AsyncDisposable {
  /** What it has printed. */
  readonly lines: string[] = [];
  readonly #process: Deno.ChildProcess;
  readonly #output: ReadableStreamDefaultReader<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  #rest = "";
  #seen = 0;
  #isOpen = true;

  constructor(command: string, args: string[]) {
    this.#process = new Deno.Command(command, { args, stdin: "piped", stdout: "piped" }).spawn();
    this.#output = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#input = this.#process.stdin.getWriter();
  }

  /** Waits for the next line that looks like this. */
  line(pattern: RegExp): Promise<string> {
    return inTime(async () => {
      for (;;) {
        while (this.#seen < this.lines.length) {
          const line = this.lines[this.#seen++]!;
          if (pattern.test(line)) return line;
        }
        if (!await this.#more()) throw new Error(`no line like ${pattern} in: ${this.lines.join(" | ")}`);
      }
    }, PATIENCE_MS);
  }

  /** What it reads. */
  async write(text: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(text));
  }

  /** Its status after an interrupt. */
  interrupted(): Promise<number> {
    this.#process.kill("SIGINT");
    return this.ended();
  }

  /** Its status, once it has read all that there is. */
  async ended(): Promise<number> {
    if (this.#isOpen) await this.#input.close().catch(() => {});
    this.#isOpen = false;
    while (await inTime(() => this.#more(), PATIENCE_MS));
    return (await this.#process.status).code;
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#output.read();
    if (done) return false;
    const lines = (this.#rest + value).split("\n");
    this.#rest = lines.pop()!;
    this.lines.push(...lines);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch { /* it has ended */ }
    await this.ended();
  }
}

/** An example, with `--allow-ffi` and what else it says that it needs. */
class Example extends Running {
  constructor(name: string, args: string[], permissions: string[] = []) {
    super(Deno.execPath(), [
      "run",
      "--no-check",
      "--no-prompt",
      "--allow-ffi",
      ...permissions,
      `${FOLDER}${name}.ts`,
      ...args,
    ]);
  }
}

/** The output of a command that must succeed. */
async function run([command = "", ...args]: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
