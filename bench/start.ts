/** What a script pays for import and first operation, beyond a bare Deno. */
import { median, type Row, type Rows } from "./table.ts";

const RUNS = 31;

/** A row for each entry point. */
export const start: Record<string, Rows> = {
  start_sys: ({ scratch }) => compare("./sys", "sys", 2.5, scratch),
  start_mod: ({ scratch }) => compare(".", "mod", 5, scratch),
};

/** What a script of `start/` takes, beyond another one. */
export async function* compare(
  entryPoint: string,
  script: string,
  bound: number,
  scratch: string,
  base = "empty",
): AsyncGenerator<Row> {
  const bare: number[] = [], more: number[] = [], inside: number[] = [];
  for (let run = -2; run < RUNS; run++) {
    const empty = await time(base, scratch), whole = await time(script, scratch);
    const { output } = await time("inside", scratch, address(script));
    if (run < 0) continue; // those filled the caches
    bare.push(empty.ms);
    more.push(whole.ms - empty.ms);
    inside.push(Number(output));
  }
  const against = `${base === "empty" ? "Deno" : "core"} ${median(bare).toFixed(1)} ms`;
  yield { what: `import + first operation, ${entryPoint}`, against, figure: median(more), unit: "ms", bound };
  if (base === "empty") yield { what: "  as the process itself sees it", figure: median(inside), unit: "ms" };
}

function address(script: string): string {
  return new URL(`start/${script}.ts`, import.meta.url).href;
}

/** Runs a script in a process of its own, with a cache that no other Deno writes to. */
export async function time(
  script: string,
  scratch: string,
  ...args: string[]
): Promise<{ ms: number; output: string }> {
  const permissions = ["--allow-ffi", ...args.length > 0 ? ["--allow-read"] : []];
  const before = performance.now();
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", ...permissions, address(script), ...args],
    env: { NO_COLOR: "1", DENO_DIR: `${scratch}/deno` },
  }).output();
  const ms = performance.now() - before;
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return { ms, output: new TextDecoder().decode(stdout) };
}
