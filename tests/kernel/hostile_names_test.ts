/** What others name and nest as they like: it costs itself, never a whole listing, and no name reaches a terminal as it is. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BpfError, BpfMap, Link, Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { answerOf } from "../fixture/process/bpflink.ts";
import { cgroupEgress, skLookup } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

const NEEDS = { needs: ["cgroup2", "bpffs", "netns"] } as const;

/** Directories in each other, deeper than the longest path (PATH_MAX); gone at the end of the scope. */
class DeepDirectory implements Disposable {
  static readonly #NAME = "d".repeat(200);
  readonly #base: string;
  #depth = 0;

  constructor(base: string) {
    this.#base = base;
    this.#within(() => {
      for (; this.#depth < 22; this.#depth++) {
        Deno.mkdirSync(DeepDirectory.#NAME);
        Deno.chdir(DeepDirectory.#NAME);
      }
    });
  }

  /** Runs `use` in the base directory; paths from there on may be short. */
  #within(use: () => void): void {
    const home = Deno.cwd();
    Deno.chdir(this.#base);
    try {
      use();
    } finally {
      Deno.chdir(home);
    }
  }

  [Symbol.dispose](): void {
    this.#within(() => {
      for (let i = 0; i < this.#depth; i++) Deno.chdir(DeepDirectory.#NAME);
      for (; this.#depth > 0; this.#depth--) {
        Deno.chdir("..");
        Deno.removeSync(DeepDirectory.#NAME);
      }
    });
  }
}

kernelTest("pins in a directory too deep for a path cost that directory, and the listing says so", NEEDS, async () => {
  using pins = new PinDirectory();
  using program = skLookup();
  using link = Link.attach(program, { type: "netns" });
  link.pin(pins.pin("link"));
  const expected = [{ kind: "pin" as const, path: pins.pin("link") }];
  const before = link.holders();
  assertEquals(before.holders, expected);
  {
    using _deep = new DeepDirectory(pins.path);
    assertEquals(link.holders().holders, expected);
    const infos = await Array.fromAsync(Link.infos({ source: "proc", types: ["netns"] }));
    assert(infos.some(({ id }) => id === link.id));
    const tree = await answerOf(["tree"], 4);
    assert("partial" in tree && tree.partial);
  }
  link.unpin();
});

kernelTest("cgroups too deep for a path leave the others their names", NEEDS, async () => {
  using cgroup = new Cgroup();
  using program = cgroupEgress();
  using link = Link.attach(program, { type: "cgroup", cgroup: cgroup.path });
  using _deep = new DeepDirectory(cgroup.path);
  const shown = await answerOf(["show", `${link.id}`]);
  assert("links" in shown && shown.links[0]!.cgroupPath === cgroup.path);
});

kernelTest("a pin whose name is no UTF-8 is said to be missing", NEEDS, () => {
  using pins = new PinDirectory();
  using program = skLookup();
  using link = Link.attach(program, { type: "netns" });
  link.pin(pins.pin("link"));
  const move = new Deno.Command("sh", { args: ["-c", `mv "$1/link" "$1/$(printf 'caf\\351')"`, "sh", pins.path] });
  assertEquals(move.outputSync().code, 0);
  assertEquals(link.holders(), { holders: [], partial: true });
});

const HOSTILE = "x\x1b]0;owned\x07\u009b31m\u202e";
const SHOWN = "x\\x1b]0;owned\\x07\\x9b31m\\u{202e}";

kernelTest("names are escaped in errors", NEEDS, () => {
  using pins = new PinDirectory();
  const path = pins.pin(HOSTILE);
  const check = (act: () => unknown) => {
    const error = assertThrows(act, BpfError);
    assert(error.message.includes(SHOWN), error.message);
    for (const text of [error.message, error.meaning, error.hint ?? ""]) {
      assertEquals(/[\p{Cc}\p{Cf}]/u.test(text), false, JSON.stringify(text));
    }
  };
  using program = skLookup();
  check(() => Link.openPinned(path));
  check(() => Program.openPinned(path));
  check(() => BpfMap.openPinned(path));
  check(() => Link.attach(program, { type: "netns", netns: path }));
  check(() => program.pin(`${path}/x`));
  check(() => Link.ensurePinned(`${path}/x`, program, { type: "netns" }));
  program.pin(path);
  check(() => program.pin(path));
  check(() => Link.openPinned(path));
  check(() => Link.ensurePinned(path, program, { type: "netns" }));
  program.unpin();
});
