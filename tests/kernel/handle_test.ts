/** What handles of every class share: how they are known, and their stack of pins. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BpfError, BpfMap, Link, Program } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { skLookup, tcx } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

kernelTest("two pins, two unpins: the last one made goes first, for each class alike", { needs: ["netns"] }, () => {
  using pins = new PinDirectory();
  using program = skLookup();
  using map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  using link = Link.attach(program, { type: "netns", attachType: "sk_lookup" });
  for (const [name, handle] of Object.entries({ program, map, link })) {
    const [first, second] = [pins.pin(`${name}1`), pins.pin(`${name}2`)];
    handle.pin(first);
    handle.pin(second);
    handle.unpin();
    assertEquals(pins.pins, [`${name}1`]);
    handle.unpin();
    assertEquals(pins.pins, []);
    assertThrows(() => handle.unpin(), Deno.errors.BadResource, "knows no pin");
  }
});

kernelTest("what only looks like a link or a program is no anchor", { needs: ["netns"] }, () => {
  using program = tcx();
  for (const like of [{ onClose: 1, fd: 5 }, { tag: "0123456789abcdef", fd: 5 }, Object.create(Program.prototype)]) {
    const position = { after: like };
    assertThrows(
      () => Link.attach(program, { type: "tcx", device: "lo", direction: "ingress", position }),
      TypeError,
      "the anchor of target.position",
    );
  }
});

kernelTest("a handle of another copy of the package is known as one", { needs: ["netns"] }, async () => {
  const folder = Deno.makeTempDirSync();
  try {
    const { success } = await new Deno.Command("cp", {
      args: ["-r", ...["mod.ts", "lib"].map((name) => new URL(name, MOD).pathname), folder],
    }).output();
    assert(success);
    const { output, errors } = await runScript(
      `
      import { BpfMap, Link, Program } from "${MOD}";
      import * as copy from "file://${folder}/mod.ts";
      using program = copy.Program.load({
        type: "sk_lookup",
        instructions: new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]),
        expectedAttachType: "sk_lookup",
      });
      try {
        Link.attach(program, { type: "netns", attachType: "sk_lookup" });
      } catch (error) {
        console.log(error.name, error.message);
      }
      using own = Program.fromFd(program.fd);
      using link = Link.attach(own, { type: "netns", attachType: "sk_lookup" });
      console.log(link.attached());
      const theirs = { link: copy.Link.fromFd(link.fd), map: copy.BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 }) };
      const tcx = { type: "tcx", device: "lo", direction: "ingress" }, cgroup = { type: "cgroup", cgroup: "/", attachType: "cgroup_inet_egress" };
      for (const use of [
        () => Link.attach(own, { ...tcx, position: { after: theirs.link } }),
        () => Link.attach(own, { ...tcx, position: { after: program } }),
        () => Link.attach(own, { ...cgroup, position: { after: theirs.link } }),
        () => Link.attach(own, { ...cgroup, position: { after: program } }),
        () => Link.attach(own, { type: "sockmap", map: theirs.map }),
        () => BpfMap.create({ type: "array_of_maps", maxEntries: 1, inner: theirs.map }),
        () => link.update(program),
        () => link.update(own, { expected: program }),
      ]) try { use(); console.log("taken"); } catch (error) { console.log(/a [A-Za-z]+ of another copy/.exec(error.message)?.[0] ?? error); }
      theirs.link.close();
      theirs.map.close();
      `,
      ["--allow-ffi"],
    );
    assertEquals(errors, "");
    assertEquals(output.trimEnd().split("\n"), [
      "TypeError source must be a Program, not a Program of another copy of @bpf/link: " +
      "import one version of the package, or pass its fd to fromFd()",
      "true",
      ...["Link", "Program", "Link", "Program", "BpfMap", "BpfMap", "Program", "Program"].map((name) =>
        `a ${name} of another copy`
      ),
    ]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

kernelTest("an error says its meaning apart from what could not be done", {}, () => {
  const error = assertThrows(() => Link.open(0x7fffffff), BpfError);
  assertEquals(error.message, `Cannot open link 2147483647: ${error.meaning} (${error.code})`);
});
