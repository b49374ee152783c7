/** What holds for a place in a file, whether a link has one of them or many: tests of uprobe_test.ts and uprobe_multi_test.ts. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { crc32 } from "node:zlib";
import { exists } from "../../../lib/os/libraries.ts";
import { close, enableStats } from "../../../lib/sys/mod.ts";
import { type AttachTarget, BpfError, Link, type Program } from "../../../mod.ts";
import { CODE_OF, executable } from "../../fixture/place/elf.ts";
import { answering } from "../../fixture/program/programs.ts";
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
    const message = (target: AttachTarget) => assertThrows(() => Link.attach(program, target), BpfError).message;
    assertStringIncludes(message(at(victim.path, 2 ** 40)), "offset 0x10000000000 lies outside of the file");
    if (type === "uprobe") assertStringIncludes(message(at("/", 0)), "no regular file");
    assertThrows(() => Link.attach(program, at("x".repeat(4096), 0)), RangeError, "target.path");
  });

  kernelTest(`${type}: a program that was loaded for other targets`, { since: "6.6" }, () => {
    using victim = new Victim();
    using single = answering(0, { type: "kprobe" });
    using many = answering(0, { type: "kprobe", expectedAttachType: "trace_uprobe_multi" });
    const misfit = type === "uprobe" ? many : single;
    const error = assertThrows(() => Link.attach(misfit, at(victim.path, victim.work)), BpfError);
    assertEquals([error.code, error.reason], ["EINVAL", "invalid"]);
    assertStringIncludes(
      error.message,
      type === "uprobe" ? "was loaded for trace_uprobe_multi" : "was not loaded for trace_uprobe_multi",
    );
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

  const named = (path: string, symbol: string, pid?: number): AttachTarget =>
    type === "uprobe" ? { type, path, symbol, pid } : { type, path, symbols: [symbol], pid };

  kernelTest(`${type}: of two versions the default one runs, the old one if it is named`, { since }, () => {
    using victim = new Victim([
      { name: "_start", code: CODE_OF.start },
      { name: "copy", code: CODE_OF.work, version: "@@V2" },
      { name: "copy", code: CODE_OF.work, version: "@V1" },
    ], { table: "dynsym" });
    using program = load();
    for (const [symbol, runs] of [["copy", 1], ["copy@V2", 1], ["copy@@V2", 1], ["copy@V1", 0]] as const) {
      using _link = Link.attach(program, named(victim.path, symbol));
      assertEquals(runsOf(program, victim), runs, symbol);
    }
  });

  kernelTest(`${type}: what was stripped is found in the debug file of the same build`, { since }, () => {
    const functions = [{ name: "_start", code: CODE_OF.start }, { name: "work", code: CODE_OF.work }];
    const buildId = "0123456789abcdef", { bytes } = executable({ functions });
    const checksum = crc32(bytes), name = "victim.debug", table = "none";
    using program = load();
    for (
      const [options, directory, debug, isSame] of [
        [{ debugLink: { name, checksum } }, ".debug", bytes, true],
        [{ debugLink: { name, checksum } }, ".", bytes, true],
        [{ debugLink: { name, checksum: checksum ^ 1 } }, ".debug", bytes, false],
        [{ buildId, debugLink: { name, checksum: 0 } }, ".debug", executable({ functions, buildId }).bytes, true],
        [{ buildId, debugLink: { name, checksum } }, ".debug", bytes, false],
      ] as const
    ) {
      using victim = new Victim(functions, { table, ...options });
      Deno.mkdirSync(`${victim.directory}/${directory}`, { recursive: true });
      Deno.writeFileSync(`${victim.directory}/${directory}/${name}`, debug);
      if (isSame) {
        using _link = Link.attach(program, named(victim.path, "work"));
        assertEquals(runsOf(program, victim), 1);
      } else {
        assertEquals(attachRefusal(program, named(victim.path, "work")), ["ENOENT", "invalid"]);
      }
    }
  });

  kernelTest(`${type}: a debug file is found by the build id`, {
    since,
    needs: ["netns", "bpffs"], // and with them a mount namespace
    missing: exists("/usr/lib/debug") ? undefined : "needs the directory /usr/lib/debug",
  }, () => {
    const functions = [{ name: "_start", code: CODE_OF.start }, { name: "work", code: CODE_OF.work }];
    const buildId = "0123456789abcdef0123456789abcdef01234567";
    const mount = new Deno.Command("mount", { args: ["-t", "tmpfs", "tmpfs", "/usr/lib/debug"] });
    assert(mount.outputSync().success);
    try {
      using victim = new Victim(functions, { table: "dynsym", buildId });
      using program = load();
      const directory = `/usr/lib/debug/.build-id/${buildId.slice(0, 2)}`;
      Deno.mkdirSync(directory, { recursive: true });
      const debug = executable({ functions: [functions[0]!, { ...functions[1]!, name: "hidden" }], buildId });
      Deno.writeFileSync(`${directory}/${buildId.slice(2)}.debug`, debug.bytes);
      using _link = Link.attach(program, named(victim.path, "hidden"));
      assertEquals(runsOf(program, victim), 1);
    } finally {
      assert(new Deno.Command("umount", { args: ["/usr/lib/debug"] }).outputSync().success);
    }
  });

  kernelTest(`${type}: a library by the name that programs load it by`, { since }, async () => {
    using program = load();
    const [, libc] = /(\/\S+\/libc\.so\.6)$/m.exec(Deno.readTextFileSync("/proc/self/maps"))!;
    for (const pid of [undefined, Deno.pid]) {
      using link = Link.attach(program, named("libc.so.6", "gethostid", pid)) as Link;
      const info = link.info();
      const path = "path" in info ? info.path : libc!; // older kernels report none
      assertEquals(Deno.statSync(path).ino, Deno.statSync(libc!).ino);
    }
    assertEquals(attachRefusal(program, named("libnothing.so.1", "work")), ["ENOENT", "gone"]);
    assertEquals(attachRefusal(program, named("libnothing.so.1", "work", Deno.pid)), ["ENOENT", "gone"]);
    assertEquals(attachRefusal(program, named("libc.so.6", "work", await deadPid())), ["ESRCH", "gone"]);
    // chosen when a process starts, by every build of the GNU C library for these processors
    const error = assertThrows(() => Link.attach(program, named("libc.so.6", "strlen")), BpfError);
    assertStringIncludes(error.message, "IFUNC");
  });

  kernelTest(`${type}: a replaced library as a process still has it`, { since }, async () => {
    using victim = new Victim([{ name: "_start", code: CODE_OF.wait }, { name: "work", code: CODE_OF.work }]);
    using program = load();
    const library = `${victim.directory}/libvictim.so.1`, link = `${victim.directory}/libvictim.so`;
    Deno.renameSync(victim.path, library);
    Deno.symlinkSync("libvictim.so.1", link);
    const child = new Deno.Command(library).spawn();
    const maps = () => Deno.readTextFileSync(`/proc/${child.pid}/maps`);
    try {
      while (!maps().includes(library)) await new Promise((resolve) => setTimeout(resolve, 1));
      for (const name of ["libvictim.so.1", "libvictim.so"]) {
        Link.attach(program, named(name, "work", child.pid)).close();
        assertEquals(attachRefusal(program, named(name, "work", Deno.pid)), ["ENOENT", "gone"]);
      }
      Deno.removeSync(library);
      Link.attach(program, named("libvictim.so.1", "work", child.pid)).close();
    } finally {
      child.kill("SIGKILL");
      await child.status;
    }
  });

  kernelTest(`${type}: a file that is missing is named with its field, and what may have been meant`, { since }, () => {
    using program = load();
    const error = (target: AttachTarget) => assertThrows(() => Link.attach(program, target), BpfError);
    for (const target of [named("libc", "work"), at("libc", 0)]) {
      const { message, hint, reason } = error(target);
      assertEquals(reason, "gone");
      assertStringIncludes(message, '"libc"');
      assertStringIncludes(message, "target.path");
      assertStringIncludes(hint!, '"libc.so.6"');
    }
    const shell = ["/usr/bin/sh", "/bin/sh"].find((path) => exists(path));
    if (shell !== undefined) assertStringIncludes(error(named("sh", "work")).hint!, `"${shell}"`);
  });
}
