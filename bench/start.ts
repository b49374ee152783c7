/** What scripts and the command pay to start, beside an empty script: as users get the package, from a registry here. */
import { Link, type Program } from "../mod.ts";
import { cgroupEgress } from "../tests/fixture/program/programs.ts";
import { Registry } from "../tests/package/registry.ts";
import { objectPath, whyNoObjects } from "../tests/object/build.ts";
import { median, type Row, type Rows } from "./table.ts";

const RUNS = 31;

interface Start {
  readonly what: string;
  /** The script, or the arguments of `deno run` for it. */
  readonly script: string | readonly string[];
  /** How many times as long as the empty script it may take. */
  readonly bound?: number;
  /** How many milliseconds longer than the first of all it may take. */
  readonly more?: number;
  /** How many links there are meanwhile. */
  readonly links?: number;
}

/** What opens the native library, and little else. */
export const FIRST_CALL = `import { Link } from "jsr:@bpf/link"; await Link.infos({ source: "syscall" }).next();`;

/** The sources, each module a file. */
const CHECKOUT = new URL("../mod.ts", import.meta.url).href;

const STARTS: readonly Start[] = [
  {
    what: "start and first call, `.`",
    script: FIRST_CALL,
    bound: 1.65,
  },
  {
    what: "start and first call, `./sys`",
    script: `import { linkGetNextId } from "jsr:@bpf/link/sys"; linkGetNextId(0);`,
    bound: 1.4,
  },
  { what: "bpflink list", script: ["jsr:@bpf/link/bpflink", "list"], bound: 2.5 },
  { what: "  with 20 links", script: ["jsr:@bpf/link/bpflink", "list"], links: 20, bound: 2.5 },
  { what: "  what any command takes: bpflink --version", script: ["jsr:@bpf/link/bpflink", "--version"] },
  ...whyNoObjects() !== undefined ? [] : [{
    what: "first object, beyond the start of `.`",
    script: `import { BpfObject } from "jsr:@bpf/link/object"; BpfObject.open("${objectPath("syscalls")}").close();`,
    more: 12,
  }],
  {
    what: "the first, from a checkout",
    script: FIRST_CALL.replace("jsr:@bpf/link", CHECKOUT),
  },
];

/** Rows for warm starts, and one for what a cold one asks the registry for. */
export const start: Record<string, Rows> = {
  async *start({ scratch, cgroup }): AsyncGenerator<Row> {
    await using registry = await Registry.serve(`${scratch}/staged`);
    const file = (name: string, text: string) => {
      Deno.writeTextFileSync(`${scratch}/${name}`, text);
      return [`${scratch}/${name}`];
    };
    const run = (args: readonly string[]) => time(args, { DENO_DIR: `${scratch}/cold`, JSR_URL: registry.url });
    const empty = file("empty.ts", ""), bare: number[] = [];
    const nothing = {
      what: "  as many modules of comments as long",
      script: await comments(scratch),
    };
    const starts = [...STARTS, nothing].map((start: Start, i) => ({
      ...start,
      args: typeof start.script === "string" ? file(`start${i}.ts`, start.script) : start.script,
      times: [] as number[],
    }));
    using program = cgroupEgress();
    await run(starts[0]!.args);
    yield { what: "requests of a cold start, `.`", figure: registry.takeRequests().length, unit: "", bound: 8 };
    for (let round = -2; round < RUNS; round++) {
      const ms = await run(empty);
      if (round >= 0) bare.push(ms); // those before filled the caches
      for (const { args, times, links = 0 } of starts) {
        using _links = manyLinks(program, cgroup, links);
        const ms = await run(args);
        if (round >= 0) times.push(ms);
      }
    }
    for (const { what, bound, more, times } of starts) {
      const ours = `${median(times).toFixed(1)} ms`;
      if (more !== undefined) {
        const beyond = median(times.map((ms, i) => ms - starts[0]!.times[i]!));
        yield { what, ours, figure: beyond, unit: "ms", bound: more };
        continue;
      }
      yield {
        what,
        against: `Deno ${median(bare).toFixed(1)} ms`,
        ours,
        figure: median(times.map((ms, i) => ms / bare[i]!)),
        unit: "x",
        ...bound !== undefined && { bound },
      };
    }
  },
};

function manyLinks(program: Program, cgroup: string, count: number): Disposable {
  using links = new DisposableStack();
  for (let i = 0; i < count; i++) links.use(Link.attach(program, { type: "cgroup", cgroup }));
  return links.move();
}

/** A script that imports as many modules as the sources are, as long as they are: what Deno takes to read them alone. */
async function comments(scratch: string): Promise<string> {
  const args = ["info", "--json", "--no-config", CHECKOUT];
  const { stdout } = await new Deno.Command(Deno.execPath(), { args }).output();
  const { modules }: { modules: readonly { size: number }[] } = JSON.parse(new TextDecoder().decode(stdout));
  Deno.mkdirSync(`${scratch}/comments`);
  return modules.map(({ size }, i) => {
    const text = `/** ${"a line of a comment\n * ".repeat(size / 23)}*/\nexport const nothing: number = ${i};\n`;
    Deno.writeTextFileSync(`${scratch}/comments/${i}.ts`, text);
    return `import "${scratch}/comments/${i}.ts";\n`;
  }).join("");
}

/** Milliseconds of a process that runs this script. */
export async function time(args: readonly string[], env: Record<string, string>): Promise<number> {
  const before = performance.now();
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-lock", "--allow-ffi", ...args],
    cwd: "/", // in a checkout, jsr:@bpf/link is the checkout
    env: { NO_COLOR: "1", ...env },
  }).output();
  const ms = performance.now() - before;
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return ms;
}
