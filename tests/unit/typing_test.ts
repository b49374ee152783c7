/** What users write passes the compiler, and typing errors do not: this file has failed if it does not compile. */
import { assert } from "@std/assert";
import {
  type AnyLink,
  type AttachTarget,
  BpfMap,
  Hook,
  Link,
  type LinkInfo,
  Program,
  type XdpTarget,
} from "../../mod.ts";

/** None of it is called. */
export const passes = {
  anyTarget: (program: Program, target: AttachTarget): AnyLink => Link.attach(program, target),
  anyTargetLater: (program: Program, target: AttachTarget): Promise<AnyLink> => Link.attachAsync(program, target),
  anyTargetPinned: (program: Program, target: AttachTarget): AnyLink => Link.ensurePinned("/p", program, target).link,
  oneTarget: (program: Program, target: XdpTarget): Link<"xdp"> => Link.attach(program, target),
  anyLink: (link: Link): AnyLink => link,
  someLink: (link: AnyLink): Link => link,
  oneLink: (link: Link<"xdp">): AnyLink => link,
  list: (links: Link[]): LinkInfo[] => links.map((link) => link.info()),
  narrowedByType: (program: Program, target: AttachTarget): number => {
    const link = Link.attach(program, target);
    return link.type === "xdp" ? link.info().ifindex : link.type === "iter" ? link.read().length : link.info().id;
  },
  narrowedByIs: (link: Link): number => link.is("xdp") ? link.info().ifindex : link.info().id,
  generic: <T extends "xdp" | "tcx">(link: Link<T>): number => link.info().ifindex,
  newerTypes: (instructions: Uint8Array): unknown => [
    Program.load({ type: "program_type_60", expectedAttachType: "attach_type_60", instructions }),
    BpfMap.create({ type: "map_type_60", maxEntries: 1 }),
  ],
};

export const fails = {
  // @ts-expect-error a misspelt program type
  programType: (instructions: Uint8Array): unknown => Program.load({ type: "xpd", instructions }),
  attachType: (instructions: Uint8Array): unknown =>
    // @ts-expect-error a misspelt attach type
    Program.load({ type: "xdp", expectedAttachType: "egress", instructions }),
  // @ts-expect-error a misspelt map type
  mapType: (): unknown => BpfMap.create({ type: "hsah", maxEntries: 1 }),
  cgroup: (program: Program): unknown =>
    // @ts-expect-error a misspelt place in a cgroup
    Link.attach(program, { type: "cgroup", cgroup: "/c", attachType: "cgroup_inet_egres" }),
  // @ts-expect-error the same in a question
  hook: (): unknown => Hook.query({ type: "cgroup", cgroup: "/c", attachType: "cgroup_inet_egres" }),
  // @ts-expect-error a misspelt field
  field: (program: Program): unknown => Link.attach(program, { type: "xdp", interface: "eth0" }),
  // @ts-expect-error a link of some type is none of a certain one
  oneOfAny: (link: Link): Link<"xdp"> => link,
};

Deno.test("what users write passes the compiler, and typing errors do not", () => {
  for (const use of Object.values({ ...passes, ...fails })) assert(use);
});
