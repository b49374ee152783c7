/** What is left in the kernel when a program ends, however it does: each row of the guide's table, in a process of its own. */
import { assert, assertEquals } from "@std/assert";
import { BpfMap, Link, Program } from "../../mod.ts";
import { table } from "../doc/guide.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { MOD } from "../fixture/process/script.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { until } from "../fixture/run/wait.ts";
import { type Ending, ENDINGS, type Fate } from "./endings.ts";
import { Scene } from "./life.ts";

/** What the program has, by their ids. */
interface Ids {
  readonly pid: number;
  readonly scoped: number;
  readonly loose: number;
  readonly program: number;
  readonly map: number;
}

/** How long an ending may take to be seen: a worker that is terminated is missed within a second. */
const SEEN_MS = 20_000;
/** How long something must be there to count as left. */
const STAYS_MS = 2_000;

function programOf(ending: Ending, scene: Scene, opened: number, pin: string): string {
  return `
    import { BpfMap, Link, Program } from "${MOD}";
    const pass = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
    const load = () => Program.load({ type: "cgroup_skb", expectedAttachType: "cgroup_inet_egress", instructions: pass });
    const program = load();
    const target = ${JSON.stringify(scene.target)};
    const ring = BpfMap.create({ type: "ringbuf", maxEntries: 4096 });
    const loose = Link.attach(load(), target), pinned = Link.attach(load(), target), other = Link.open(${opened});
    pinned.pin(${JSON.stringify(pin)});
    if (${ending.reads === true}) ring.records().next().catch(() => {});
    async function scope() {
      using scoped = Link.attach(load(), target);
      const ids = { scoped: scoped.id, loose: loose.id, program: program.id, map: ring.id };
      console.log(JSON.stringify({ pid: Deno.pid, ...ids }));
      await new Promise((resolve) => setTimeout(resolve, 500)); // until it was looked at
      ${ending.last}
    }
    await scope();
    globalThis.all = { loose, pinned, other, ring }; // nothing is garbage
  `;
}

/** A process that runs such a program; ended at the end of the scope. */
class Run implements AsyncDisposable {
  readonly ids: Promise<Ids>;
  readonly #folder = Deno.makeTempDirSync({ prefix: "bpf-link-ending-" });
  readonly #file = `${this.#folder}/main.ts`;
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<unknown>;
  #lines = "";
  #errors = "";
  #pid: number | undefined;
  #hasEnded = false;

  constructor(readonly ending: Ending, source: string) {
    if (ending.ofWorker === undefined) {
      Deno.writeTextFileSync(this.#file, source);
    } else {
      Deno.writeTextFileSync(`${this.#folder}/worker.ts`, source);
      Deno.writeTextFileSync(
        this.#file,
        `const worker = new Worker(new URL("worker.ts", import.meta.url), { type: "module" });
         setTimeout(() => { ${ending.ofWorker} }, 1500);
         setInterval(() => {}, 1000);`,
      );
    }
    const run = ["run", "-A", "--no-check", "--no-config", "--no-lock", ...ending.options ?? [], this.#file];
    const [command, args] = ending.outside === "end its parent"
      ? ["sh", ["-c", '"$@" & wait', "sh", Deno.execPath(), ...run]]
      : [Deno.execPath(), run];
    this.#child = new Deno.Command(command, {
      args,
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#child.status.then(() => this.#hasEnded = true);
    this.#output = Promise.all([
      this.#read(this.#child.stdout, (text) => this.#lines += text),
      this.#read(this.#child.stderr, (text) => this.#errors += text),
    ]);
    this.ids = this.#firstLine();
  }

  async #read(from: ReadableStream<BufferSource>, take: (text: string) => void): Promise<void> {
    for await (const text of from.pipeThrough(new TextDecoderStream())) take(text);
  }

  async #firstLine(): Promise<Ids> {
    await until(() => this.#lines.includes("\n") || this.#hasEnded, "the program says what it has", SEEN_MS);
    const ids: Ids = JSON.parse(this.#lines.split("\n")[0]!);
    this.#pid = ids.pid;
    return ids;
  }

  /** Makes the ending happen, as far as it comes from outside, and waits for it. */
  async end(): Promise<void> {
    const { outside, goesOn, after } = this.ending;
    if (after !== undefined) await until(() => this.#errors.includes(after), after, SEEN_MS);
    if (outside === "change the file") {
      // a change is seen once the watcher watches, and an error at the top is printed before
      let tries = 0;
      Deno.writeTextFileSync(this.#file, again(tries));
      await until(
        () => {
          if (!this.#lines.includes("again") && ++tries % 200 === 0) Deno.writeTextFileSync(this.#file, again(tries));
          return this.#lines.includes("again");
        },
        "the next run",
        SEEN_MS,
      );
    } else if (outside === "end its parent") {
      this.#child.kill("SIGKILL");
      await until(() => this.#hasEnded, "the parent has ended", SEEN_MS);
    } else if (outside !== undefined) this.#child.kill(outside);
    if (!goesOn) await until(() => this.#hasEnded, "the process has ended", SEEN_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      Deno.kill(this.#pid ?? this.#child.pid, "SIGKILL");
    } catch { /* it has ended */ }
    await this.#child.status;
    await this.#output;
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

const again = (time: number) => `console.log("again"); setInterval(() => {}, 1000); // ${time}`;

/** Whether there is such a thing; nothing is held. */
const exists = {
  link: (id: number) => attempt(() => Link.open(id)),
  program: (id: number) => attempt(() => Program.open(id)),
  map: (id: number) => attempt(() => BpfMap.open(id)),
};

function attempt(open: () => Disposable): boolean {
  try {
    using _handle = open();
    return true;
  } catch {
    return false;
  }
}

/** Whether it is so within a time, which is long if it should be. */
async function isSoon(condition: () => boolean, expected: boolean): Promise<boolean> {
  const end = performance.now() + (expected ? SEEN_MS : STAYS_MS);
  while (!condition()) {
    if (performance.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return true;
}

for (const ending of ENDINGS) {
  kernelTest(`ending: ${ending.name}`, { needs: ["cgroup2", "bpffs"] }, async () => {
    using scene = new Scene();
    using pins = new PinDirectory();
    const theirs = scene.attach({ onClose: "keep" }), opened = theirs.id;
    await using run = new Run(ending, programOf(ending, scene, opened, pins.pin("pinned")));
    const ids = await run.ids;
    theirs.close(); // only the program has it now
    const held = { scoped: Link.open(ids.scoped), loose: Link.open(ids.loose) };
    await run.end();

    const { left } = ending;
    const byForce = await Promise.all(["scoped" as const, "loose" as const].map(async (which) => {
      using link = held[which];
      return await isSoon(() => !link.attached(), left[which] === "detached");
    }));
    assertEquals(byForce, [left.scoped === "detached", left.loose === "detached"]);
    const [scoped, loose, other, program, map] = await Promise.all([
      byForce[0] ? "detached" : fateOf(ids.scoped, "link", left.scoped),
      byForce[1] ? "detached" : fateOf(ids.loose, "link", left.loose),
      fateOf(opened, "link", left.opened),
      fateOf(ids.program, "program", left.others),
      fateOf(ids.map, "map", left.others),
    ]);
    assertEquals({ scoped, loose, pinned: "stays", opened: other, others: map }, left);
    assertEquals(program, left.others);
    using pinned = Link.openPinned(pins.pin("pinned"));
    assert(pinned.attached());
    pinned.unpin();
  });
}

/** Whether it is gone, or there for as long as the process is: that it ends with it, the leak check of a test sees. */
async function fateOf(id: number, kind: keyof typeof exists, expected: Fate): Promise<Fate> {
  const isGone = await isSoon(() => !exists[kind](id), expected === "closed");
  return isGone ? "closed" : expected === "closed" ? "stays" : expected;
}

Deno.test("the guide's table of endings is what the tests found", () => {
  assertEquals(
    table("mod.ts", "| how it ends"),
    ENDINGS.map(({ name, left }) => [name, left.scoped, left.loose, left.pinned, left.opened, left.others]),
  );
});
