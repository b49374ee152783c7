/** What is left after very many links. */
import { close, open } from "../lib/sys/mod.ts";
import { BpfError, Link, openHandles, Program } from "../mod.ts";
import { cgroupEgress } from "../tests/fixture/program/programs.ts";
import { liveBytes } from "../tests/fixture/run/memory.ts";
import { delay } from "../tests/fixture/run/wait.ts";
import type { Row, Rows } from "./table.ts";

const CYCLES = 100_000;
const PATIENCE_MS = 2000; // the kernel frees a moment later

/** Lines for what they hold and for memory. */
export const cycles: Record<string, Rows> = {
  async *cycles({ cgroup: path }): AsyncGenerator<Row> {
    const fds = bpfFds(), handles = openHandles().length, program = cgroupEgress(), { id } = program;
    const cgroup = open(path), target = { type: "cgroup", cgroup } as const;
    const held = Link.attach(program, target); // as in calls.ts
    const cycle = () => {
      for (let i = 0; i < CYCLES; i++) {
        using _link = Link.attach(program, target);
      }
    };
    cycle(); // compiles what there is to compile
    const live = await liveBytes(), { rss } = Deno.memoryUsage();
    cycle();
    const growth = await liveBytes() - live, resident = Deno.memoryUsage().rss - rss;
    held.close();
    program.close();
    close(cgroup);

    let left = NaN;
    for (const end = performance.now() + PATIENCE_MS; left !== 0 && performance.now() < end; await delay(5)) {
      left = bpfFds() - fds + openHandles().length - handles + await linksOf(id) + (isThere(id) ? 1 : 0);
    }
    yield { what: `fds, links, programs left of ${CYCLES} cycles`, figure: left, unit: "", bound: 0 };
    yield { what: "  live memory", figure: growth / 1024, unit: "KB", bound: CYCLES / 1024 }; // less than a byte a cycle
    yield { what: "  resident memory", figure: resident / 1024, unit: "KB" };
  },
};

/** How many fds of this process are of links, programs or maps. */
function bpfFds(): number {
  return [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
    try {
      return /^anon_inode:bpf/.test(Deno.readLinkSync(`/proc/self/fd/${name}`));
    } catch {
      return false; // that of the directory being read
    }
  }).length;
}

/** How many links of the machine hold a program. */
async function linksOf(program: number): Promise<number> {
  let count = 0;
  for await (const { programId } of Link.infos()) if (programId === program) count++;
  return count;
}

function isThere(program: number): boolean {
  try {
    Program.open(program).close();
    return true;
  } catch (error) {
    if (error instanceof BpfError && error.reason === "gone") return false;
    throw error;
  }
}
