/** What is special about links to an interface's traffic control hooks. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { linkCreate } from "../../../lib/sys/mod.ts";
import { BpfError, Hook, Link } from "../../../mod.ts";
import { Loopback } from "../../fixture/place/loopback.ts";
import { VethPair } from "../../fixture/place/netns.ts";
import { tcx, tcxDigit, VERDICT } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { LO, NO_IFINDEX, rows, tcxLink } from "../refusal/rows.ts";

const TCX = { needs: ["netns"], since: "6.6" } as const;
/** What a program says that leaves the decision to the next. */
const NEXT = -1;

kernelTest("tcx: programs run in their order until one decides, at each direction by itself", TCX, async () => {
  using loopback = await Loopback.open();
  using next = tcx(NEXT);
  using pass = tcx(VERDICT.tcx.pass);
  using block = tcx(VERDICT.tcx.block);
  const target = { type: "tcx", device: "lo", direction: "ingress" } as const;
  using _next = Link.attach(next, target);
  using blocking = Link.attach(block, target);
  assert(!await loopback.passes());
  using _elsewhere = Link.attach(pass, { ...target, direction: "egress", position: "first" });
  assert(!await loopback.passes(), "what leaves is another hook's");
  using other = tcx(VERDICT.tcx.pass);
  using _pass = Link.attach(other, { ...target, position: { before: blocking } });
  assert(await loopback.passes());
});

rows(
  TCX,
  [
    "no such interface",
    (own) => Link.attach(own.use(tcx()), { type: "tcx", device: NO_IFINDEX, direction: "egress" }),
    "LINK_CREATE ENODEV gone",
    /no such interface.*netns/,
  ],
  [
    "the same program twice",
    (own) => {
      const program = own.use(tcx());
      tcxLink(own, program);
      return tcxLink(own, program);
    },
    "LINK_CREATE EEXIST exists",
    /load it a second time/,
  ],
  [
    "the 65th program",
    (own) => {
      for (let i = 0; i < 65; i++) tcxLink(own);
    },
    "LINK_CREATE ERANGE limit",
    /63 programs/,
  ],
  [
    "an anchor of another hook",
    (own) =>
      Link.attach(own.use(tcx()), {
        type: "tcx",
        device: "lo",
        direction: "egress",
        position: { after: tcxLink(own) },
      }),
    "LINK_CREATE ENOENT gone",
    /anchor is not attached to this hook/,
  ],
  [
    "a revision that was",
    (own) => {
      tcxLink(own);
      return Link.attach(own.use(tcx()), {
        type: "tcx",
        device: "lo",
        direction: "ingress",
        expectedRevision: 77n,
      });
    },
    "LINK_CREATE ESTALE stale",
    /query the hook again/,
  ],
  [
    "a flag that only cgroups have",
    (own) => linkCreate(own.use(tcx()).fd, LO, "tcx_ingress", { flags: 64 }),
    "LINK_CREATE EINVAL invalid",
    /option/,
  ],
);

kernelTest("tcx: 63 links a hook, each program once, and one more", TCX, () => {
  using veth = new VethPair();
  using stack = new DisposableStack();
  const target = { type: "tcx", device: veth.name, direction: "ingress" } as const;
  for (let i = 0; i < 63; i++) stack.use(Link.attach(stack.use(tcxDigit(1)), target));
  using more = tcxDigit(1);
  const full = assertThrows(() => Link.attach(more, target), BpfError);
  assertEquals([full.code, full.reason, full.hint !== undefined], ["ERANGE", "limit", true]);
  const { entries } = Hook.query(target);
  assertEquals([entries.length, new Set(entries.map(({ linkId }) => linkId)).size], [63, 63]);
  using _ingress = Link.attach(more, { ...target, direction: "egress" });
  const twice = assertThrows(() => Link.attach(more, { ...target, direction: "egress" }), BpfError);
  assertEquals([twice.code, twice.reason], ["EEXIST", "exists"]);
  veth.delete(); // at once; link by link the kernel would wait each time
});
