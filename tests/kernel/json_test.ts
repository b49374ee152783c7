/** What the package gives as JSON. */
import { assertEquals } from "@std/assert";
import { BpfMap, Hook, Link, toJson } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { cgroupEgress, skLookup } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

const parsed = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

kernelTest("JSON of handles is that of their infos, with 64-bit values as strings", { needs: ["cgroup2"] }, () => {
  using cgroup = new Cgroup();
  using program = cgroupEgress();
  using map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1, name: "it" });
  using link = Link.attach(program, { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" });
  assertEquals(parsed(link), { ...link.info(), cgroupId: `${link.info().cgroupId}` });
  assertEquals(parsed({ program }), { program: { ...program.info(), loadedAt: `${program.info().loadedAt}` } });
  assertEquals(parsed([map]), [map.info()]);
  using group = Link.attachAll([[program, { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" }]]);
  assertEquals(parsed([...group]), group.links.map((link) => toJson(link.info())));
});

kernelTest("JSON of closed handles is what they still know", { needs: ["netns"] }, () => {
  const program = skLookup(), map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  const link = Link.attach(program, { type: "netns" }), { id } = link;
  for (const handle of [program, map, link]) handle.close();
  assertEquals(parsed(link), { type: "netns", id, closed: true });
  assertEquals(parsed(program), { id: program.id, name: "", type: "sk_lookup", tag: program.tag, closed: true });
  assertEquals(parsed(map), { id: map.id, name: "", type: "array", closed: true });
});

kernelTest("JSON of a hook is its place and what is there", { needs: ["cgroup2"] }, () => {
  using cgroup = new Cgroup();
  using program = cgroupEgress();
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" } as const;
  using _link = Link.attach(program, target);
  const hook = Hook.query(target);
  const { entries, effective } = hook;
  const revision = hook.revision === undefined ? {} : { revision: `${hook.revision}` };
  assertEquals(parsed(hook), parsed({ target, ...revision, entries, effective }));
});

kernelTest("toJson() takes every info, event and answer", { needs: ["netns"] }, async () => {
  using program = skLookup();
  using link = Link.attach(program, { type: "netns" });
  assertEquals(toJson(program.info()).loadedAt, `${program.info().loadedAt}`);
  for await (const event of Link.watch({ types: ["netns"] })) {
    if (event.kind === "changed" || event.info.id !== link.id) continue;
    assertEquals(toJson(event), { kind: "present", info: toJson(link.info()) });
    break;
  }
  assertEquals(Object.keys(toJson(Link.holdersOf([link.id]))), [`${link.id}`]);
  assertEquals(toJson({ at: new URL("file:///a"), n: [1n, { m: undefined }] }), {
    at: "file:///a",
    n: ["1", { m: undefined }],
  });
});
