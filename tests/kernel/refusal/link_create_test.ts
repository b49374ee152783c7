/** What the errnos of LINK_CREATE are said to mean that no kind of link has for itself; those of a kind are in kind/. */
import { linkCreate } from "../../../lib/sys/mod.ts";
import { Link } from "../../../mod.ts";
import { netfilter, tcx, xdp } from "../../fixture/program/programs.ts";
import {
  type Expected,
  LO,
  lookupLink,
  messageJudge,
  netnsFd,
  NO_FD,
  type Provoke,
  rows,
  sockmap,
  uprobes,
} from "./rows.ts";

rows(
  { needs: ["netns"] },
  ["no program", () => linkCreate(NO_FD, LO, "xdp"), "LINK_CREATE EBADF invalid", /not open/],
  [
    "a link instead of a program",
    (own) => linkCreate(lookupLink(own).fd, netnsFd(own), "sk_lookup"),
    "LINK_CREATE EINVAL invalid",
    /program does not fit/,
  ],
  [
    "an attach type of another program type",
    (own) => linkCreate(own.use(xdp()).fd, 0, "sk_lookup"),
    "LINK_CREATE EINVAL invalid",
    /loaded for this attach type|program/,
  ],
  [
    "an attach type that no kernel has",
    (own) => linkCreate(own.use(xdp()).fd, 0, "attach_type_5000"),
    "LINK_CREATE EINVAL invalid",
    /attach type/,
  ],
);

// What a kernel says of a type that it does not know: the hint names the one that brought it.
const NEWER: readonly [since: string, type: string, provoke: Provoke, expected: Expected][] = [
  ["6.4", "netfilter", () => netfilter(), "PROG_LOAD EINVAL unsupported"],
  [
    "6.6",
    "tcx",
    (own) => Link.attach(own.use(tcx()), { type: "tcx", device: LO, direction: "ingress" }),
    "LINK_CREATE EINVAL unsupported",
  ],
  [
    "6.6",
    "uprobe_multi",
    (own) => linkCreate(own.use(uprobes()).fd, 0, "trace_uprobe_multi", { uprobeMulti: { path: "/", offsets: [0n] } }),
    "LINK_CREATE EINVAL unsupported",
  ],
  [
    "6.7",
    "netkit",
    (own) => linkCreate(own.use(tcx()).fd, LO, "netkit_primary"),
    "LINK_CREATE EINVAL unsupported",
  ],
  [
    "6.10",
    "sockmap",
    (own) => Link.attach(own.use(messageJudge()), { type: "sockmap", map: sockmap(own) }),
    "LINK_CREATE EINVAL unsupported",
  ],
];

for (const [since, type, provoke, expected] of NEWER) {
  rows({ needs: ["netns"], before: since }, [
    `${type} on a kernel that is too old`,
    provoke,
    expected,
    new RegExp(`this kernel has no ${type} links.*they came with Linux ${since.replace(".", "[.]")}; this is \\d`),
  ]);
}
