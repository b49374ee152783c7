/**
 * Every object of `c/`: what libbpf's own loader in C loads on this kernel, `BpfObject` loads too, with the same
 * instructions after the verifier and the same maps; what fails there fails here, with the same errno of the kernel.
 * Programs whose section begins with `?` are loaded one by one.
 */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { BpfError } from "../../lib/error.ts";
import { BpfObject } from "../../lib/object/mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { objectPath, objects, whyNoObjects } from "./build.ts";
import { loadedByLibbpf, loadedHere, type Report, whyNoReference } from "./ours.ts";

/** What any kernel loads that can, whatever else it lacks. */
// deno-fmt-ignore
const LOADED_EVERYWHERE = [
  "core", "functions", "globals", "kconfig_version", "map_in_map", "maps", "no_btf", "no_license", "perf_buffer",
  "pinned", "ring", "sockets", "spin_locks", "strings", "subprograms", "syscalls", "tail_calls", "types", "usdt", "verbose",
];
/** What none loads: that it was refused must be seen. */
const REFUSED_EVERYWHERE = ["big_endian", "core_missing", "extension", "no_btf_maps", "old_maps", "unknown_section"];

for (const name of objects()?.keys() ?? ["each object"]) {
  kernelTest(`${name}: loads here as with libbpf in C`, {
    needs: ["bpffs"],
    missing: whyNoObjects() ?? whyNoReference(),
  }, () => {
    const path = objects()!.get(name)!;
    const whole = compare(path);
    if (REFUSED_EVERYWHERE.includes(name)) assert(hasFailed(whole), `${name} was to fail, and says ${whole}`);
    for (const program of whole[0]?.startsWith("failed open") ? [] : optional(path)) compare(path, [program]);
  });
}

kernelTest(
  "what any kernel loads, and what none does",
  { needs: ["bpffs"], since: "5.15", missing: whyNoObjects() },
  () => {
    const fail = [...objects()!.keys()].filter((name) => {
      using pins = new PinDirectory();
      try {
        BpfObject.load(objectPath(name), { pinDirectory: pins.path }).close();
        return false;
      } catch (error) {
        assertInstanceOf(error, BpfError, name);
        return true;
      }
    });
    assertEquals(fail.filter((name) => LOADED_EVERYWHERE.includes(name)), []);
    assertEquals(REFUSED_EVERYWHERE.filter((name) => !fail.includes(name)), []);
  },
);

/** Loads it both ways, each with pins of its own. */
function compare(path: string, programs?: readonly string[]): Report {
  using theirs = new PinDirectory();
  using ours = new PinDirectory();
  const expected = loadedByLibbpf(path, theirs.path, programs);
  const found = loadedHere(path, ours.path, programs);
  // What is wrong with a file itself is found earlier here, and said in other words.
  if (hasFailed(expected) && found[0]?.startsWith("failed open")) return found;
  assertEquals(found, expected, `${path} ${programs ?? ""}`);
  assertEquals(ours.pins, theirs.pins);
  return expected;
}

function optional(path: string): string[] {
  using object = BpfObject.open(path);
  return object.programs.filter(({ section }) => section.startsWith("?")).map(({ name }) => name);
}

function hasFailed(report: Report): boolean {
  return report.some((line) => line.startsWith("failed "));
}
