/** What is special about links to an interface's traffic control hooks. */
import { linkCreate } from "../../../lib/sys/mod.ts";
import { Link } from "../../../mod.ts";
import { tcx } from "../../fixture/program/programs.ts";
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
