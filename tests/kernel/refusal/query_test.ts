/** What the errnos of PROG_QUERY and TOKEN_CREATE are said to mean. */
import { progQuery, tokenCreate } from "../../../lib/sys/mod.ts";
import { ownBpffs } from "../../fixture/run/own.ts";
import { file, NO_FD, NO_IFINDEX, rows } from "./rows.ts";

rows(
  { needs: ["netns"] },
  [
    "no cgroup",
    (own) => progQuery(file(own, "/tmp"), "cgroup_inet_egress"),
    "PROG_QUERY EBADF invalid",
    /cgroup2/,
  ],
  ["no place to query", () => progQuery(0, "perf_event"), "PROG_QUERY EINVAL invalid", /cannot be queried/],
);

rows(
  { needs: ["netns"], since: "6.6" },
  ["no interface", () => progQuery(NO_IFINDEX, "tcx_ingress"), "PROG_QUERY ENODEV gone", /no such interface/],
);

rows(
  { needs: ["bpffs"], since: "6.9" },
  ["no fd", () => tokenCreate(NO_FD), "TOKEN_CREATE EBADF invalid", /not open|closed/],
  [
    "no bpf file system",
    (own) => tokenCreate(file(own, "/tmp")),
    "TOKEN_CREATE EINVAL invalid",
    /bpf file system/,
  ],
  [
    "where capabilities do",
    (own) => tokenCreate(file(own, ownBpffs()!)),
    "TOKEN_CREATE EOPNOTSUPP unsupported",
    /user namespace/,
  ],
);
