/** What is special about links to cgroups. */
import { linkCreate } from "../../../lib/sys/mod.ts";
import { Link } from "../../../mod.ts";
import { Cgroup } from "../../fixture/place/cgroup.ts";
import { progAttach } from "../../fixture/program/prog_attach.ts";
import { cgroupEgress } from "../../fixture/program/programs.ts";
import { cgroupLink, cgroupTarget, file, NO_FD, rows } from "../refusal/rows.ts";

rows(
  { needs: ["cgroup2"] },
  [
    "an fd that is closed",
    (own) => Link.attach(own.use(cgroupEgress()), { type: "cgroup", cgroup: NO_FD }),
    "LINK_CREATE EBADF invalid",
    /cgroup2/,
  ],
  [
    "a plain directory",
    (own) => Link.attach(own.use(cgroupEgress()), { type: "cgroup", cgroup: "/tmp" }),
    "LINK_CREATE EBADF invalid",
    /no directory of a cgroup2/,
  ],
  [
    "a file of a cgroup",
    (own) => {
      const { cgroup } = cgroupTarget(own);
      return Link.attach(own.use(cgroupEgress()), { type: "cgroup", cgroup: `${cgroup}/cgroup.procs` });
    },
    "LINK_CREATE EBADF invalid",
    /not a file/,
  ],
  [
    "a cgroup that was removed",
    (own) => {
      const cgroup = new Cgroup();
      const directory = file(own, cgroup.path);
      cgroup[Symbol.dispose]();
      return Link.attach(own.use(cgroupEgress()), { type: "cgroup", cgroup: directory });
    },
    "LINK_CREATE ENOENT gone",
    /being removed/,
  ],
  [
    "a flag of the mechanism before links",
    (own) =>
      linkCreate(own.use(cgroupEgress()).fd, file(own, cgroupTarget(own).cgroup), "cgroup_inet_egress", { flags: 2 }),
    "LINK_CREATE EINVAL invalid",
    /position cannot be had/,
  ],
  [
    "a program that does not fit",
    (own) => Link.attach(own.use(cgroupEgress()), { ...cgroupTarget(own), attachType: "cgroup_inet4_connect" }),
    "LINK_CREATE EINVAL invalid",
    /does not fit the attach type/,
  ],
  [
    "a program that allows no other beside it",
    (own) => {
      const target = cgroupTarget(own);
      progAttach(own, file(own, target.cgroup), own.use(cgroupEgress()).fd, 1);
      return cgroupLink(own, target);
    },
    "LINK_CREATE EPERM policy",
    /allows no other beside it.*BPF_F_ALLOW_MULTI/,
  ],
  [
    "the 65th program",
    (own) => {
      const target = cgroupTarget(own), program = own.use(cgroupEgress());
      for (let i = 0; i < 65; i++) own.use(Link.attach(program, target));
    },
    "LINK_CREATE E2BIG limit",
    /64/,
  ],
);

rows(
  { needs: ["cgroup2"], since: "6.17" },
  [
    "an anchor of another cgroup",
    (own) => Link.attach(own.use(cgroupEgress()), { ...cgroupTarget(own), position: { before: cgroupLink(own) } }),
    "LINK_CREATE ENOENT gone",
    /anchor is not attached there/,
  ],
  [
    "a revision that was",
    (own) => {
      const target = cgroupTarget(own);
      cgroupLink(own, target);
      return Link.attach(own.use(cgroupEgress()), { ...target, expectedRevision: 77n });
    },
    "LINK_CREATE ESTALE stale",
    /query the hook again/,
  ],
);
