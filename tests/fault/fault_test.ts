/**
 * Each operation, with each of its system calls failing with each errno that the call can give, one at a time: it is
 * done all the same, or says what failed, and leaves the machine as before.
 *
 * The errnos come from the kernel's own mechanism (seccomp's user notification; injector.c), so nothing of the package
 * is replaced. Two further runs leave less and less room for fds, and free the fds 0, 1 and 2. What is wrong is compared
 * with {@linkcode KNOWN}; the table that is printed says how often what came out.
 */
import { assertEquals } from "@std/assert";
import { exists } from "../../lib/os/libraries.ts";
import * as sys from "../../lib/sys/mod.ts";
import * as main from "../../mod.ts";
import { BUILT_INJECTOR, inNamespaces, inOwnVm } from "../fixture/run/own.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { errnosOf } from "./errnos.ts";
import { numbersOf } from "./numbers.ts";
import { Steps } from "./steps.ts";
import type { Begun, Cold, ColdFault, Ended } from "./workload.ts";

/** What is wrong, and why it stays so: patterns of `operation: call (which, errno): what`. */
const KNOWN: readonly (readonly [what: RegExp, why: string])[] = [];

/** How long an operation may take with a fault, on a crowded machine; a lock that cannot be had is waited for 5 seconds. */
const DEADLINE_MS = 30_000;
/** How long a process may take until its first fault. */
const START_MS = inOwnVm() ? 300_000 : 60_000;
/** How long all may take: minutes, but more in a machine that is emulated. */
const DEADLINE_OF_ALL_MS = 2_400_000;
/** Processes at a time. */
const LANES = Math.min(2, navigator.hardwareConcurrency);

const OUTCOMES = ["done", "documented", "error", "unreached", "wrong"] as const;
type Outcome = Ended["outcome"];

/** What became of one operation. */
class Tally {
  readonly calls = new Set<string>();
  readonly counts: Record<Outcome, number> = { done: 0, documented: 0, error: 0, unreached: 0, wrong: 0 };
  readonly wrong: string[] = [];

  add({ call, nth, errno }: Begun, outcome: Outcome, wrong: readonly string[]): void {
    this.calls.add(call);
    this.counts[outcome]++;
    const which = nth === 0 ? "every" : `no. ${nth}`;
    for (const what of wrong) this.wrong.push(`${call} (${which}, ${errno}): ${what}`);
  }
}

Deno.test("it is said of every system call of the library which errnos it can give", () => {
  const calls = Object.keys(numbersOf("x86_64"));
  assertEquals(calls.filter((call) => errnosOf(call, 0) === undefined), []);
});

/** What makes no system call of its own, or none that a test may make. */
const WITHOUT_STEP: Readonly<Record<string, string>> = {
  libraryBytes: "no call",
  setLibraryPath: "the library is open by then",
  openHandles: "no call",
  toJson: "no call",
  "Link.is": "no call",
  "Names.device": "part of place()",
  "Names.cgroup": "part of place()",
  "Program.load": "by the fixtures' programs",
};

Deno.test("every public operation is among those that are made to fail, or it is said why not", () => {
  const code = ["steps.ts", "sys_steps.ts"].map((file) => Deno.readTextFileSync(new URL(file, import.meta.url))).join();
  const methodsOf = (object: object) =>
    Object.entries(Object.getOwnPropertyDescriptors(object))
      .filter(([name, { value }]) => typeof value === "function" && name !== "constructor").map(([name]) => name);
  const operations = Object.entries({ ...sys, ...main }).flatMap(([name, value]) => {
    if (typeof value !== "function") return [];
    if (!/^class\b/.test(Function.prototype.toString.call(value))) return [name];
    return [...methodsOf(value), ...methodsOf(value.prototype)].map((method) => `${name}.${method}`);
  });
  const isMissing = (name: string) => !new RegExp(`\\b${name.split(".").at(-1)}\\(`).test(code);
  assertEquals(operations.filter(isMissing).sort(), Object.keys(WITHOUT_STEP).sort());
});

const MODES = {
  calls: "its calls fail",
  cold: "what only a first run asks fails",
  files: "there is room for few fds",
  stdio: "fds 0 to 2 are free",
} as const;
for (const [mode, when] of Object.entries(MODES)) {
  kernelTest(
    `every operation is done or says why not, and leaves nothing, where ${when}`,
    { needs: ["cgroup2", "bpffs", "netns"], since: "6.10", missing: whyNoInjector(), deadlineMs: DEADLINE_OF_ALL_MS },
    async () => {
      const waiting = names(), tallies = new Map<string, Tally>();
      for (const name of waiting) tallies.set(name, new Tally());
      using injector = new Injector();
      await Promise.all(Array.from({ length: LANES }, async () => {
        for (let name; (name = waiting.shift()) !== undefined;) {
          const tally = tallies.get(name)!;
          if (mode === "cold") await runCold(injector, name, tally);
          else await run(injector, mode, name, tally);
        }
      }));
      print(tallies);
      const wrong = [...tallies].flatMap(([name, tally]) => tally.wrong.map((what) => `${name}: ${what}`));
      const isKnown = (what: string) => KNOWN.some(([pattern]) => pattern.test(what));
      for (const what of wrong.filter(isKnown)) console.log(`known: ${what}`);
      assertEquals(wrong.filter((what) => !isKnown(what)), []);
    },
  );
}

/** The names of all operations, of which `BPF_LINK_TEST_FAULTS` may pick some: parts of names, with `|` between. */
function names(): string[] {
  const picks = (Deno.env.get("BPF_LINK_TEST_FAULTS") ?? "").split("|");
  const pins = Deno.makeTempDirSync({ prefix: "bpf-link-test-" });
  using steps = new Steps(pins);
  Deno.removeSync(pins);
  const picked = Object.keys(steps.all).filter((name) => picks.some((pick) => name.includes(pick)));
  if (picked.length === 0) throw new Error(`no operation has "${picks.join('" or "')}" in its name`);
  return picked;
}

/** Lets one operation meet all its faults, in as many processes as that takes. */
async function run(injector: Injector, mode: string, name: string, tally: Tally): Promise<void> {
  for (let skip = 0, isFinished = false; !isFinished;) {
    await using process = injector.start(mode, name, String(skip));
    let begun: Begun | undefined;
    for (let line; (line = await process.line(begun === undefined ? START_MS : DEADLINE_MS)) !== undefined;) {
      if (line === "late") {
        if (begun === undefined) throw new Error(`${name} does not begin`);
        tally.add(begun, "wrong", ["hangs"]);
        break;
      }
      const said = JSON.parse(line) as Begun | Ended | { finished: true } | { failed: string };
      if ("failed" in said) throw new Error(`${name}: ${said.failed}`);
      if ("finished" in said) isFinished = true;
      else if ("step" in said) begun = said;
      else {
        tally.add(begun!, said.outcome, said.wrong);
        skip = begun!.index + 1;
        begun = undefined;
      }
    }
    if (begun === undefined) continue;
    if (skip <= begun.index) skip = begun.index + 1;
    else throw new Error(`${name} does not go on after ${begun.index}`);
    const { code } = await process.end();
    // Deno ends with 1 when what is awaited will never come
    if (code !== 137) tally.add(begun, "wrong", [code === 1 ? "hangs" : `ends the process with ${code}`]);
  }
}

/** Lets one operation meet what fails in its first run, each in a process of its own. */
async function runCold(injector: Injector, name: string, tally: Tally): Promise<void> {
  const start = async (skip: string): Promise<unknown[]> => {
    await using process = injector.start("cold", name, skip);
    const said: unknown[] = [];
    for (let line; (line = await process.line(START_MS)) !== undefined;) {
      said.push(line === "late" ? { outcome: "wrong", wrong: ["hangs"] } satisfies Ended : JSON.parse(line));
      if (line === "late") break;
    }
    return said;
  };
  const [listed] = await start("") as [Cold | undefined];
  if (listed?.cold === undefined) throw new Error(`${name}: ${JSON.stringify(listed)}`);
  for (const fault of listed.cold satisfies readonly ColdFault[]) {
    const [begun, ended] = await start(JSON.stringify(fault)) as [Begun, Ended | undefined];
    if (ended?.outcome === undefined) tally.add(begun, "wrong", [`ends the process: ${JSON.stringify(ended)}`]);
    else tally.add(begun, ended.outcome, ended.wrong);
  }
}

/** Compiles the injector; its file is gone with the scope. */
class Injector implements Disposable {
  readonly #directory: string = Deno.makeTempDirSync({ prefix: "bpf-link-test-" });
  readonly #binary: string = inOwnVm() ? BUILT_INJECTOR : `${this.#directory}/injector`;
  #count = 0;

  constructor() {
    if (inOwnVm()) return;
    const source = new URL("injector.c", import.meta.url).pathname;
    const { success, stderr } = new Deno.Command("cc", {
      args: ["-O2", "-Wall", "-Werror", "-o", this.#binary, source],
    })
      .outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  }

  start(mode: string, name: string, skip: string): Workload {
    const bpffs = `${this.#directory}/${this.#count++}`;
    Deno.mkdirSync(bpffs);
    const numbers = Object.values(numbersOf(Deno.build.arch)).join(",");
    const workload = new URL("workload.ts", import.meta.url).pathname;
    return new Workload([
      ...inNamespaces(bpffs),
      ...mode === "files" ? ["prlimit", "--nofile=256:256"] : [],
      this.#binary,
      numbers,
      Deno.execPath(),
      ...["run", "-A", "--no-check", "--no-lock", "--no-config"],
      ...[workload, mode, bpffs, name, skip],
    ]);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#directory, { recursive: true });
  }
}

/** A process under the injector. */
class Workload implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #output: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  readonly #decoder = new TextDecoder();
  #rest = "";

  constructor([command = "", ...args]: string[]) {
    this.#process = new Deno.Command(command, { args, stdin: "null", stdout: "piped", env: { NO_COLOR: "1" } }).spawn();
    this.#output = this.#process.stdout.getReader();
  }

  /** Its next line; undefined at its end, "late" if it takes longer. */
  async line(deadlineMs: number): Promise<string | "late" | undefined> {
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const timer = setTimeout(() => resolve("late"), deadlineMs);
    try {
      while (!this.#rest.includes("\n")) {
        const piece = await Promise.race([this.#output.read(), late]);
        if (piece === "late") return this.#kill();
        if (piece.value === undefined) return undefined;
        this.#rest += this.#decoder.decode(piece.value, { stream: true });
      }
      const end = this.#rest.indexOf("\n"), line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + 1);
      return line;
    } finally {
      clearTimeout(timer);
    }
  }

  #kill(): "late" {
    this.#process.kill("SIGKILL"); // the injector, with which its child ends
    return "late";
  }

  end(): Promise<Deno.CommandStatus> {
    return this.#process.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.status;
    await this.#output.cancel();
  }
}

function print(tallies: ReadonlyMap<string, Tally>): void {
  const line = (name: string, ...columns: readonly (string | number)[]) =>
    console.log(name.padEnd(44) + columns.map((column) => String(column).padStart(11)).join(""));
  line("operation", "calls", "faults", ...OUTCOMES);
  const sums = [0, 0, 0, 0, 0, 0];
  for (const [name, { calls, counts }] of tallies) {
    const columns = [...OUTCOMES.map((outcome) => counts[outcome])];
    const faults = columns.reduce((sum, count) => sum + count, 0);
    [faults, ...columns].forEach((count, i) => sums[i]! += count);
    line(name, calls.size, faults, ...columns);
  }
  line("all", "", ...sums);
}

/** Why calls cannot be made to fail here, if they cannot. */
function whyNoInjector(): string | undefined {
  if (inOwnVm()) return exists(BUILT_INJECTOR) ? undefined : "needs an injector that was built outside";
  try {
    new Deno.Command("cc", { args: ["--version"], stdout: "null", stderr: "null" }).outputSync();
    return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "needs a C compiler: install gcc";
    throw error;
  }
}
