/** The command lines of the guide of `lib/cli/mod.ts`, in its order: they find and remove an orphan. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Link } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { bpflink } from "../fixture/process/bpflink.ts";
import { xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { guide } from "./guide.ts";

/** What each line prints, by its command. */
const PRINTS: Readonly<Record<string, RegExp>> = {
  list: /^ID +TYPE +WHERE[^]*xdp +lo /,
  hook: /^xdp lo\n/,
  show: /^held by +\S+$/m,
  detach: /^detached link \d+/,
  unpin: /^unpinned link \d+/,
};

kernelTest("the guide's commands find and remove an orphan", { needs: ["netns", "bpffs"], since: "5.19" }, async () => {
  using pins = new PinDirectory();
  const pin = pins.pin("old_guard");
  {
    using program = xdp();
    using link = Link.attach(program, { type: "xdp", device: "lo", mode: "generic" });
    link.pin(pin);
  }
  using orphan = Link.openPinned(pin);
  const { id } = orphan;
  orphan.close(); // now only the pin holds it
  const [, block] = /## Guide: find and remove an orphan[^]*?```sh\n([^]*?)```/.exec(guide("lib/cli/mod.ts"))!;
  const lines = block!.trim().split("\n").map((line) => line.replace(/ # .*/, "").split(" "));
  assertEquals(lines.map(([name]) => name), lines.map(() => "bpflink"));
  assertEquals(lines.map(([, command]) => command), Object.keys(PRINTS));
  const ours: Record<string, string> = { eth0: "lo", "12": `${id}`, "/sys/fs/bpf/old_guard": pin };
  for (const [, ...words] of lines) {
    const { code, output, errors } = await bpflink(words.map((word) => ours[word] ?? word));
    assertEquals([code, errors], [0, ""], words.join(" "));
    assertMatch(output, PRINTS[words[0]!]!);
  }
  assertEquals(pins.pins, []);
  assert(!Link.list({ types: ["xdp"] }).some((info) => info.id === id));
});
