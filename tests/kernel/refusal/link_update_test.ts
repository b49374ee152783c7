/** What the errnos of LINK_UPDATE and LINK_DETACH are said to mean. */
import { linkDetach, linkUpdate, progLoad } from "../../../lib/sys/mod.ts";
import type { Link, Program } from "../../../mod.ts";
import { assemble, exit, set } from "../../fixture/program/assembler.ts";
import {
  cgroupEgress,
  netfilter,
  rawTracepoint,
  skLookup,
  taskIterator,
  tcx,
  xdp,
} from "../../fixture/program/programs.ts";
import type { Requirements } from "../../fixture/run/kernel.ts";
import {
  cgroupLink,
  eventLink,
  eventProgram,
  fd,
  filterLink,
  iterLink,
  lookupLink,
  messageJudge,
  NO_FD,
  rows,
  sockmapLink,
  tcxLink,
  tracepointLink,
  xdpLink,
} from "./rows.ts";

const SECOND: readonly [name: string, link: (own: DisposableStack) => Link, next: () => Program, Requirements][] = [
  ["cgroup", cgroupLink, cgroupEgress, { needs: ["cgroup2"] }],
  ["netns", lookupLink, skLookup, { needs: ["netns"] }],
  ["xdp", xdpLink, xdp, { needs: ["netns"] }],
  ["tcx", tcxLink, tcx, { needs: ["netns"], since: "6.6" }],
  ["iter", iterLink, () => taskIterator("y"), {}],
  [
    "sockmap",
    sockmapLink,
    messageJudge,
    { since: "6.10" },
  ],
];

for (const [name, link, next, requirements] of SECOND) {
  rows(requirements, [
    `a race lost, ${name}`,
    (own) => link(own).update(own.use(next()), { expected: own.use(next()) }),
    "LINK_UPDATE EPERM mismatch",
    /another program than expected.*somebody else updated it/,
  ]);
  if (name === "iter") continue;
  rows(requirements, [
    `detached, ${name}`,
    (own) => {
      const it = link(own);
      it.detach();
      it.update(own.use(next()));
    },
    "LINK_UPDATE ENOLINK gone",
    /attach a new link/,
  ]);
}

rows(
  { needs: ["netns"] },
  [
    "a raw tracepoint",
    (own) => tracepointLink(own).update(own.use(rawTracepoint())),
    "LINK_UPDATE EINVAL unsupported",
    /attach a new link, then end the old/,
  ],
  [
    "a program of another type",
    (own) => xdpLink(own).update(own.use(tcx())),
    "LINK_UPDATE EINVAL mismatch",
    /same type and expectedAttachType/,
  ],
  [
    "a program of another attach type",
    (own) => linkUpdate(xdpLink(own).fd, fd(own, progLoad("xdp", assemble(set(0, 2), exit)))),
    "LINK_UPDATE EINVAL mismatch",
    /same type and expectedAttachType/,
  ],
  [
    "a flag that no kernel has",
    (own) => linkUpdate(lookupLink(own).fd, own.use(skLookup()).fd, { flags: 1 }),
    "LINK_UPDATE EINVAL invalid",
    /flags/,
  ],
  ["no link", (own) => linkUpdate(NO_FD, own.use(xdp()).fd), "LINK_UPDATE EBADF invalid", /not open/],
  [
    "a program instead of a link",
    (own) => linkUpdate(own.use(xdp()).fd, own.use(xdp()).fd),
    "LINK_UPDATE EINVAL invalid",
    /no link/,
  ],
  ["no program", (own) => linkUpdate(lookupLink(own).fd, NO_FD), "LINK_UPDATE EBADF invalid", /not open/],
  ["no link", () => linkDetach(NO_FD), "LINK_DETACH EBADF invalid", /not open/],
  ["a program", (own) => linkDetach(own.use(xdp()).fd), "LINK_DETACH EINVAL invalid", /no link/],
  ["an iterator", (own) => iterLink(own).detach(), "LINK_DETACH EOPNOTSUPP unsupported", /close every fd/],
);

rows(
  { needs: ["netns"], since: "6.4" },
  [
    "netfilter",
    (own) => filterLink(own).update(own.use(netfilter())),
    "LINK_UPDATE EOPNOTSUPP unsupported",
    /another priority/,
  ],
);

rows(
  { needs: ["netns"], since: "6.6" },
  [
    "the new program is in the hook",
    (own) => {
      const program = own.use(tcx());
      tcxLink(own, program);
      tcxLink(own).update(program);
    },
    "LINK_UPDATE EEXIST exists",
    /load it a second time/,
  ],
);

rows(
  { since: "5.15" },
  [
    "a perf event",
    (own) => eventLink(own).update(own.use(eventProgram())),
    "LINK_UPDATE EINVAL unsupported",
    /attach a new link, then end the old/,
  ],
  ["an event", (own) => eventLink(own).detach(), "LINK_DETACH EOPNOTSUPP unsupported", /close every fd/],
);
