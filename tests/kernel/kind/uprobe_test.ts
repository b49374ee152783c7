/** What is special about links to a place in a file; what holds for many places too is in places_in_files.ts. */
import { assertEquals } from "@std/assert";
import { Link, type Program } from "../../../mod.ts";
import { Victim } from "../../fixture/place/victim.ts";
import { answering } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { runsOf } from "../../fixture/run/runs.ts";
import { testCookie } from "../cookies.ts";
import { testPlacesInFiles } from "./places_in_files.ts";

const probe = (): Program => answering(0, { type: "kprobe" });

testPlacesInFiles("uprobe", "5.15", probe);

for (const name of ["uprobe", "uretprobe"] as const) {
  testCookie(name, { since: "5.15" }, ({ path }, cookie) => [
    { type: "kprobe" },
    { type: "uprobe", path, symbol: "work", retprobe: name === "uretprobe", cookie },
  ]);
}

kernelTest("uprobe: by name, by name and offset, by offset, by URL", { since: "5.15" }, () => {
  using victim = new Victim();
  using program = probe();
  const url = new URL(`file://${victim.path}`);
  for (
    const place of [
      { path: victim.path, symbol: "work" },
      { path: victim.path, symbol: "_start", offset: victim.work - victim.start },
      { path: url, offset: victim.work },
    ]
  ) {
    using link = Link.attach(program, { type: "uprobe", ...place });
    assertEquals(runsOf(program, victim), 1);
    const info = link.info();
    if (info.event === "uprobe") assertEquals([info.path, info.offset], [victim.path, victim.work]);
  }
  assertEquals(runsOf(program, victim), 0);
});

kernelTest("uprobe: a reference counter is told again", { since: "5.15" }, () => {
  using victim = new Victim();
  using program = probe();
  using link = Link.attach(program, { type: "uprobe", path: victim.path, symbol: "work", referenceCounterOffset: 64 });
  const info = link.info();
  if ("referenceCounterOffset" in info) assertEquals(info.referenceCounterOffset, 64); // since 6.16
});
