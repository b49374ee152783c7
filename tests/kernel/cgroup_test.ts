/** `makeCgroup`: a cgroup of one's own, with a scope. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BpfError, Link, makeCgroup } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { cgroupEgress } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { until } from "../fixture/run/wait.ts";

const NEEDS = { needs: ["cgroup2"] } as const;

kernelTest("makeCgroup: made, attached to, entered and removed", NEEDS, async () => {
  using parent = new Cgroup();
  const path = `${parent.path}/own`;
  using program = cgroupEgress();
  {
    using cgroup = makeCgroup(`${path}/`);
    assertEquals([cgroup.path, cgroup.id], [path, BigInt(Deno.statSync(path).ino!)]);
    using link = Link.attach(program, { type: "cgroup", cgroup: cgroup.path });
    assertEquals(link.info().cgroupId, cgroup.id);
    const sleeper = new Deno.Command("sleep", { args: ["60"] }).spawn();
    try {
      cgroup.add(sleeper.pid);
      assertEquals(Deno.readTextFileSync(`${path}/cgroup.procs`), `${sleeper.pid}\n`);
      const error = assertThrows(() => cgroup.remove(), BpfError);
      assertEquals([error.reason, error.code], ["busy", "EBUSY"]);
    } finally {
      sleeper.kill("SIGKILL");
      await sleeper.status;
    }
    await until(() => Deno.readTextFileSync(`${path}/cgroup.procs`) === "", "the process has left");
    assertEquals(assertThrows(() => cgroup.add(0x7fffffff), BpfError).reason, "gone");
    for (const pid of [-1, 1.5]) assertThrows(() => cgroup.add(pid), RangeError, "pid");
    link.close();
    cgroup.remove();
    cgroup.remove();
  }
  assertThrows(() => Deno.statSync(path), Deno.errors.NotFound);
});

kernelTest("makeCgroup: what it refuses", NEEDS, () => {
  using parent = new Cgroup();
  const reasonOf = (path: string) => assertThrows(() => makeCgroup(path), BpfError).reason;
  assertEquals(reasonOf(parent.path), "exists");
  assertEquals(reasonOf(`${parent.path}/none/own`), "gone");
  assertEquals(reasonOf("/tmp/no-cgroup"), "invalid");
  assertThrows(() => makeCgroup(""), TypeError);
  assert(!Array.from(Deno.readDirSync("/tmp"), ({ name }) => name).includes("no-cgroup"));
});

kernelTest(
  "makeCgroup: a process that adds itself goes back to where it was, or to the cgroup above",
  NEEDS,
  async () => {
    using parent = new Cgroup();
    const script = `
    import { makeCgroup } from ${JSON.stringify(new URL("../../mod.ts", import.meta.url).href)};
    const where = () => /^0::(.*)$/m.exec(Deno.readTextFileSync("/proc/self/cgroup"))[1];
    const places = [where()];
    for (const pid of [0, Deno.pid]) {
      using cgroup = makeCgroup(${JSON.stringify(`${parent.path}/own`)});
      cgroup.add(pid);
      cgroup.add(pid);
      places.push(where());
      cgroup.remove();
      places.push(where());
    }
    const gone = makeCgroup(${JSON.stringify(`${parent.path}/gone`)});
    gone.add(0);
    using last = makeCgroup(${JSON.stringify(`${parent.path}/last`)});
    last.add(0);
    Deno.removeSync(gone.path);
    last.remove();
    places.push(where());
    console.log(JSON.stringify(places));`;
    const args = ["eval", "--no-check", script];
    const { stdout } = await new Deno.Command(Deno.execPath(), { args, stderr: "inherit" }).output();
    const [before, ...places] = JSON.parse(new TextDecoder().decode(stdout));
    assert(places[0].endsWith("/own"), places[0]);
    const above = places[0].slice(0, -"/own".length);
    assertEquals(places, [places[0], before, places[0], before, above]);
  },
);
