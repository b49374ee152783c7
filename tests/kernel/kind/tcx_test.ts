/** What is special about links to an interface's traffic control hooks. */
import { assertEquals, assertThrows } from "@std/assert";
import { linkCreate } from "../../../lib/sys/mod.ts";
import { BpfError, Hook, Link } from "../../../mod.ts";
import { VethPair } from "../../fixture/place/netns.ts";
import { tcx, tcxDigit } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { LO, NO_IFINDEX, rows, tcxLink } from "../refusal/rows.ts";

rows(
  { needs: ["netns"], since: "6.6" },
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

kernelTest("tcx: 63 links a hook, each program once, and one more", { needs: ["netns"], since: "6.6" }, () => {
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
