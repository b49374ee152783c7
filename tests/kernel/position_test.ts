/** Where links go among others: every way to say it, checked by query and by what packets and calls meet. */
import { assertEquals, assertThrows } from "@std/assert";
import { close, linkCreate, type LinkCreateOptions, open } from "../../lib/sys/mod.ts";
import { type Anchor, BpfError, Hook, Link, type LinkAnchor, type Position, type Program } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { Loopback } from "../fixture/place/loopback.ts";
import { NetkitPair } from "../fixture/place/netkit.ts";
import { VethPair } from "../fixture/place/netns.ts";
import { Resident } from "../fixture/place/resident.ts";
import { connectDigit, tcxDigit, tcxJudge, xdp } from "../fixture/program/programs.ts";
import { firstWith } from "../fixture/run/expectations.ts";
import { kernelTest, type Requirements } from "../fixture/run/kernel.ts";

const BEFORE = 8, AFTER = 16, ID = 32, PREORDER = 64, LINK = 8192;
const ATTACH_TYPE = "cgroup_inet4_connect" as const;

interface Options {
  position?: Position | undefined;
  expectedRevision?: bigint | undefined;
}

/** A hook whose programs leave their digits in the order in which they run. */
interface Scene extends AsyncDisposable {
  readonly target: { type: "tcx"; device: string; direction: "egress" } | { type: "netkit"; device: string } | {
    type: "cgroup";
    cgroup: string;
    attachType: typeof ATTACH_TYPE;
  };
  load(digit: number): Program;
  attach(program: Program, options?: Options): Link;
  /** LINK_CREATE with the kernel's own options; gives the error's code, or "ok" if there is none. */
  create(program: Program, options: LinkCreateOptions): string;
  /** Fails if the programs do not run in the order of these octal digits. */
  assertRun(order: string): Promise<void>;
}

async function tcxScene(): Promise<Scene> {
  const stack = new AsyncDisposableStack();
  const loopback = stack.use(await Loopback.open());
  const target = { type: "tcx", device: "lo", direction: "egress" } as const;
  return {
    target,
    load: tcxDigit,
    attach: (program, options) => Link.attach(program, { ...target, ...options }),
    create: (program, options) => outcome(() => linkCreate(program.fd, 1, "tcx_egress", options)),
    async assertRun(order): Promise<void> {
      // what leaves through lo arrives there, with its mark
      for (const [mark, passes] of [[order, true], [[...order].reverse().join(""), false]] as const) {
        using judge = tcxJudge(parseInt(mark, 8));
        using _link = Link.attach(judge, { ...target, direction: "ingress" });
        assertEquals(await loopback.passes(), passes, `whether programs ran as ${mark}`);
      }
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function netkitScene(): Scene {
  const stack = new AsyncDisposableStack();
  const pair = stack.use(new NetkitPair());
  const target = { type: "netkit", device: pair.primary } as const;
  return {
    target,
    load: tcxDigit,
    attach: (program, options) => Link.attach(program, { ...target, ...options }),
    create: (program, options) =>
      outcome(() => linkCreate(program.fd, pair.ifindex(pair.primary), "netkit_primary", options)),
    async assertRun(order): Promise<void> {
      for (const [mark, drops] of [[order, false], [[...order].reverse().join(""), true]] as const) {
        using judge = tcxJudge(parseInt(mark, 8));
        using _link = Link.attach(judge, target); // last, after those that leave their digits
        assertEquals(await pair.drops(pair.primary), drops, `whether programs ran as ${mark}`);
      }
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function cgroupScene(): Scene {
  const stack = new AsyncDisposableStack();
  const cgroup = stack.use(new Cgroup());
  const resident = stack.use(new Resident(cgroup));
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: ATTACH_TYPE } as const;
  return {
    target,
    load: connectDigit,
    attach: (program, options) =>
      Link.attach(program, { ...target, ...options as { position?: Position<LinkAnchor> | undefined } }),
    create(program, options): string {
      const fd = open(cgroup.path);
      try {
        return outcome(() => linkCreate(program.fd, fd, ATTACH_TYPE, options));
      } finally {
        close(fd);
      }
    },
    async assertRun(order): Promise<void> {
      assertEquals((await resident.connect()).toString(8), order);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function outcome(create: () => number): string {
  try {
    close(create());
    return "ok";
  } catch (error) {
    if (error instanceof BpfError) return error.code;
    throw error;
  }
}

const TCX: Requirements = { needs: ["netns"], since: "6.6" };
const NETKIT: Requirements = { needs: ["netns", "netkit"], since: "6.7" };
const CGROUP: Requirements = { needs: ["cgroup2"], since: firstWith("cgroup", "position")! };
const SCENES = [["tcx", TCX, tcxScene], ["netkit", NETKIT, netkitScene], ["cgroup", CGROUP, cgroupScene]] as const;

/** A test with the programs 2 and 3 attached in this order. */
function positionTest(
  name: string,
  test: (scene: Scene & { two: [Program, Link]; three: [Program, Link]; four: Program }, kind: string) => unknown,
): void {
  for (const [kind, requirements, make] of SCENES) {
    kernelTest(`${kind}: ${name}`, requirements, async () => {
      await using scene = await make();
      using stack = new DisposableStack();
      const [p, q, four] = [2, 3, 4].map((digit) => stack.use(scene.load(digit))) as [Program, Program, Program];
      const two: [Program, Link] = [p, stack.use(scene.attach(p))];
      const three: [Program, Link] = [q, stack.use(scene.attach(q))];
      await test({ ...scene, two, three, four }, kind);
    });
  }
}

positionTest("every position, by handle and by id", async ({ two, three, four, ...scene }, kind) => {
  const [[p2, l2], [p3, l3]] = [two, three];
  const digit = new Map([[p2.id, "2"], [p3.id, "3"], [four.id, "4"]]);
  const anchors = (program: Program, link: Link): Anchor[] => [
    link,
    { linkId: link.id },
    ...(kind !== "cgroup" ? [program, { programId: program.id }] : []),
  ];
  const rows: [Position | undefined, string][] = [[undefined, "234"], ["last", "234"], ["first", "423"]];
  for (const anchor of anchors(p2, l2)) rows.push([{ before: anchor }, "423"], [{ after: anchor }, "243"]);
  for (const anchor of anchors(p3, l3)) rows.push([{ before: anchor }, "243"], [{ after: anchor }, "234"]);
  const seen = new Set<string>();
  for (const [position, order] of rows) {
    const before = Hook.query(scene.target);
    let attached: Hook;
    {
      using _link = scene.attach(four, { position, expectedRevision: before.revision });
      const { revision, entries } = before.refresh();
      assertEquals(entries.map(({ programId }) => digit.get(programId)).join(""), order);
      assertEquals(revision, before.revision! + 1n);
      if (!seen.has(order)) await scene.assertRun(order);
      seen.add(order);
      attached = before.refresh();
    }
    assertEquals(before.refresh().revision, attached.revision! + 1n);
  }
  assertEquals(seen.size, 3);
});

positionTest(
  "an update changes neither place nor, for the same program, the revision of an interface",
  (scene, kind) => {
    const { two: [program, link], four } = scene;
    const { revision } = Hook.query(scene.target);
    link.update(four);
    const after = Hook.query(scene.target);
    assertEquals([after.entries[0]?.programId, after.revision], [four.id, revision! + 1n]);
    link.update(four);
    assertEquals(Hook.query(scene.target).revision, revision! + (kind !== "cgroup" ? 1n : 2n));
    link.update(program);
  },
);

positionTest("an expected revision is exact", (scene) => {
  const { revision } = Hook.query(scene.target);
  for (const wrong of [revision! - 1n, revision! + 1n, 0xffffffffffffffffn]) {
    const error = assertThrows(() => scene.attach(scene.four, { expectedRevision: wrong }), BpfError);
    assertEquals([error.code, error.reason, error.hint !== undefined], ["ESTALE", "stale", true]);
  }
  assertThrows(() => scene.attach(scene.four, { expectedRevision: 0n }), RangeError, "expectedRevision");
  assertEquals(Hook.query(scene.target).revision, revision);
  using _link = scene.attach(scene.four, { position: "first", expectedRevision: revision });
});

positionTest("anchors that are not there", (scene, kind) => {
  const { two: [program, link], four } = scene;
  using elsewhere = new VethPair();
  using other = kind !== "cgroup" ? scene.load(5) : xdp();
  using otherLink = kind !== "cgroup"
    ? Link.attach(other, { type: "tcx", device: elsewhere.name, direction: "egress" })
    : Link.attach(other, { type: "xdp", device: elsewhere.name });
  const gone = scene.attach(four);
  const { id } = gone;
  gone.close();
  const rows: [Position, string, string][] = [
    [{ before: { linkId: 0 } }, "ENOENT", "gone"],
    [{ after: { linkId: 0x7ffffff0 } }, "ENOENT", "gone"],
    [{ after: { linkId: id } }, "ENOENT", "gone"],
    [{ before: otherLink }, "ENOENT", "gone"], // of the same type in another hook, or of another type
  ];
  if (kind !== "cgroup") {
    rows.push(
      [{ before: { programId: 0 } }, "ENOENT", "gone"],
      [{ before: { programId: 0x7ffffff0 } }, "ENOENT", "gone"],
      [{ after: other }, "ENOENT", "gone"],
    );
  }
  for (const [position, code, reason] of rows) {
    const error = assertThrows(() => scene.attach(four, { position }), BpfError);
    assertEquals([error.code, error.reason, error.hint !== undefined], [code, reason, true], Deno.inspect(position));
  }
  assertThrows(() => scene.attach(four, { position: { after: gone } }), Deno.errors.BadResource, `link ${id}`);
  if (kind === "cgroup") {
    for (const anchor of [program, { programId: program.id }]) {
      assertThrows(() => scene.attach(four, { position: { before: anchor } }), TypeError, "links");
    }
  }
  assertThrows(
    () => scene.attach(four, { position: { before: link, after: link } as Position }),
    TypeError,
    "position",
  );
  assertEquals(Hook.query(scene.target).entries.length, 2);
});

positionTest("the kernel's own flags: what it refuses, and how", (scene, kind) => {
  const { two: [program, link], four } = scene;
  const isMprog = kind !== "cgroup"; // tcx and netkit share their code in the kernel
  const relative = (flags: number, options: NonNullable<LinkCreateOptions["tcx"]> = {}): LinkCreateOptions => ({
    flags,
    [kind]: options,
  });
  const rows: [string, LinkCreateOptions, string][] = [
    ["both sides", relative(BEFORE | AFTER), isMprog ? "ERANGE" : "EINVAL"],
    ["an anchor on no side", relative(LINK, { relativeFd: link.fd }), "EINVAL"],
    ["an anchor's id on no side", relative(LINK | ID, { relativeId: link.id }), "EINVAL"],
    ["an anchor without flags", relative(0, { relativeFd: link.fd }), "EINVAL"],
    ["a program as anchor", relative(BEFORE, { relativeFd: program.fd }), isMprog ? "ok" : "EINVAL"],
    ["a program's id as anchor", relative(BEFORE | ID, { relativeId: program.id }), isMprog ? "ok" : "EINVAL"],
    ["a link taken for a program", relative(BEFORE, { relativeFd: link.fd }), "EINVAL"],
    ["a program taken for a link", relative(BEFORE | LINK, { relativeFd: program.fd }), "EINVAL"],
    ["an fd that is not open", relative(BEFORE | LINK, { relativeFd: 0x7fffffff }), "EBADF"],
    ["replace", relative(4), isMprog ? "ENOENT" : "EINVAL"],
    ["override", relative(1), "EINVAL"],
    ["multi", relative(2), "EINVAL"],
    ["preorder", relative(PREORDER), isMprog ? "EINVAL" : "ok"],
    [
      "preorder beside what has none",
      relative(PREORDER | BEFORE | LINK, { relativeFd: link.fd }),
      isMprog ? "ok" : "EINVAL",
    ],
    ["revision 0 is unchecked", relative(BEFORE, { expectedRevision: 0n }), "ok"],
    ["another revision", relative(BEFORE, { expectedRevision: 0xdeadn }), "ESTALE"],
  ];
  const answers = rows.map(([what, options]) => [what, scene.create(four, options)]);
  assertEquals(answers, rows.map(([what, , code]) => [what, code]));
});

kernelTest("cgroup: preorder runs first, and has an order of its own", CGROUP, async () => {
  await using scene = cgroupScene();
  const [two, three, four, five] = [2, 3, 4, 5].map(connectDigit) as [Program, Program, Program, Program];
  using stack = new DisposableStack();
  for (const program of [two, three, four, five]) stack.use(program);
  if (scene.target.type !== "cgroup") throw new Error("no cgroup");
  const { target } = scene;
  using l2 = Link.attach(two, target);
  using l3 = Link.attach(three, { ...target, preorder: true });
  using _l4 = Link.attach(four, { ...target, preorder: true, position: { before: l3 } });
  using _l5 = Link.attach(five, { ...target, position: { before: l2 } });
  await scene.assertRun("4352");
  const digits = new Map([[two.id, 2], [three.id, 3], [four.id, 4], [five.id, 5]]);
  assertEquals(Hook.query(target).effective.map(({ programId }) => digits.get(programId)), [4, 3, 5, 2]);
  using other = connectDigit(6);
  const mixed = assertThrows(
    () => Link.attach(other, { ...target, preorder: true, position: { after: l2 } }),
    BpfError,
  );
  assertEquals([mixed.code, mixed.reason], ["EINVAL", "invalid"]);
});
