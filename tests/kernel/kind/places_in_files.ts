/** What holds for a place in a file, whether a link has one of them or many: tests of uprobe_test.ts and uprobe_multi_test.ts. */
import { assert, assertEquals } from "@std/assert";
import { close, enableStats } from "../../../lib/sys/mod.ts";
import { type AttachTarget, Link, type Program } from "../../../mod.ts";
import { CODE_OF } from "../../fixture/place/elf.ts";
import { Victim } from "../../fixture/place/victim.ts";
import { deadPid } from "../../fixture/process/pids.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { attachRefusal } from "../../fixture/run/refusal.ts";
import { runsOf } from "../../fixture/run/runs.ts";

/** Registers the tests for one of the two kinds, with programs that `load` loads. */
export function testPlacesInFiles(type: "uprobe" | "uprobe_multi", since: string, load: () => Program): void {
  const at = (path: string, offset: number, pid?: number): AttachTarget =>
    type === "uprobe" ? { type, path, offset, pid } : { type, path, offsets: [offset], pid };

  kernelTest(`${type}: with a pid the program runs in that process alone`, { since }, async () => {
    using victim = new Victim();
    using program = load();
    const script = 'read line; exec "$0"';
    const child = new Deno.Command("sh", { args: ["-c", script, victim.path], stdin: "piped" }).spawn();
    using link = Link.attach(program, at(victim.path, victim.work, child.pid)) as Link;
    if (link.is("uprobe_multi")) assertEquals(link.info().pid, child.pid);
    assertEquals(runsOf(program, victim), 0);
    const counting = enableStats();
    try {
      const stdin = child.stdin.getWriter();
      await stdin.write(new TextEncoder().encode("\n"));
      await stdin.close();
      assertEquals((await child.status).code, 0);
      assertEquals(program.info().runCount, 1n);
    } finally {
      close(counting);
    }
    if (link.is("uprobe_multi")) assertEquals(link.info().pid, undefined); // it is no more
  });

  kernelTest(`${type}: a process that is no more`, { since }, async () => {
    using victim = new Victim();
    using program = load();
    assertEquals(attachRefusal(program, at(victim.path, victim.work, await deadPid())), ["ESRCH", "gone"]);
  });

  kernelTest(`${type}: the link outlives the name of its file`, { since }, () => {
    using program = load();
    using victim = new Victim();
    using link = Link.attach(program, at(victim.path, victim.work)) as Link;
    const elsewhere = `${victim.path}_elsewhere`;
    Deno.renameSync(victim.path, elsewhere);
    Deno.copyFileSync(elsewhere, victim.path);
    assertEquals(runsOf(program, victim), 0); // another file in its place is not probed
    Deno.renameSync(elsewhere, victim.path);
    assertEquals(runsOf(program, victim), 1);
    Deno.removeSync(victim.path);
    const info = link.info();
    if (info.type === "uprobe_multi") assertEquals(info.path, `${victim.path} (deleted)`);
    else {assert(
        info.type === "perf_event" && (info.event === "unknown" || "path" in info && info.path === victim.path),
      );}
  });

  kernelTest(`${type}: what is no place in a file`, { since }, () => {
    using victim = new Victim();
    using program = load();
    assertEquals(attachRefusal(program, at(`${victim.path}_not`, 0)), ["ENOENT", "gone"]);
    assertEquals(attachRefusal(program, at("/dev/null", 0))[1], "invalid");
    assertEquals(attachRefusal(program, at("/", 0))[1], "invalid");
    assertEquals(attachRefusal(program, at(victim.path, 2 ** 40)), ["EINVAL", "invalid"]);
  });

  kernelTest(`${type}: an instruction that cannot be probed, in a process that has it`, { since }, async () => {
    using victim = new Victim([{ name: "_start", code: CODE_OF.wait }, { name: "work", code: CODE_OF.trap }]);
    using program = load();
    const child = new Deno.Command(victim.path).spawn();
    try {
      await victim.isRunning(child.pid);
      assertEquals(attachRefusal(program, at(victim.path, victim.work)), ["ENOTSUPP", "invalid"]);
    } finally {
      child.kill("SIGKILL");
      await child.status;
    }
  });

  kernelTest(`${type}: a name that the file has not, or twice`, { since }, () => {
    using victim = new Victim([
      { name: "_start", code: CODE_OF.start },
      { name: "work", code: CODE_OF.work },
      { name: "work", code: CODE_OF.work },
    ]);
    using program = load();
    const named = (symbol: string, path = victim.path): AttachTarget =>
      type === "uprobe" ? { type, path, symbol } : { type, path, symbols: [symbol] };
    assertEquals(attachRefusal(program, named("nothing")), ["ENOENT", "invalid"]);
    assertEquals(attachRefusal(program, named("work")), ["EINVAL", "invalid"]);
    assertEquals(attachRefusal(program, named("work", `${victim.path}_not`)), ["ENOENT", "gone"]);
    assertEquals(attachRefusal(program, named("work", "/")), ["EISDIR", "invalid"]);
    assertEquals(attachRefusal(program, named("work", "/proc/version"))[1], "invalid");
  });
}
