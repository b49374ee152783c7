/** What is special about links to cgroups. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { linkCreate, linkUpdate } from "../../../lib/sys/mod.ts";
import { type AttachTypeName, BpfError, Hook, Link, Program, type ProgramTypeName } from "../../../mod.ts";
import { Cgroup } from "../../fixture/place/cgroup.ts";
import { CgroupSockets } from "../../fixture/place/cgroup_sockets.ts";
import { progAttach } from "../../fixture/program/prog_attach.ts";
import { answering, cgroupEgress, VERDICT } from "../../fixture/program/programs.ts";
import { mountPoints } from "../../fixture/run/own.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { until } from "../../fixture/run/wait.ts";
import { assertDetached } from "../detached.ts";
import { cgroupLink, cgroupTarget, file, NO_FD, rows } from "../refusal/rows.ts";

const CGROUP = { needs: ["cgroup2"] } as const;

kernelTest("cgroup: the attach type is the program's, and must be given for one that was opened", CGROUP, () => {
  using cgroup = new Cgroup();
  using loaded = answering(1, { type: "cgroup_sock_addr", expectedAttachType: "cgroup_inet4_bind" });
  using opened = Program.fromFd(loaded.fd);
  const target = { type: "cgroup", cgroup: cgroup.path } as const;
  {
    using link = Link.attach(loaded, target);
    assertEquals(link.info().attachType, "cgroup_inet4_bind");
  }
  assertThrows(() => Link.attach(opened, target), TypeError, "target.attachType is required");
  using link = Link.attach(opened, { ...target, attachType: "cgroup_inet4_bind" });
  assertEquals(link.info().attachType, "cgroup_inet4_bind");
});

kernelTest("cgroup: a program judges the processes of the cgroups below, and none above", CGROUP, async () => {
  using parent = new Cgroup();
  using child = new Cgroup(parent.path);
  using block = cgroupEgress(VERDICT.cgroup.block);
  using above = new CgroupSockets(parent);
  using below = new CgroupSockets(child);
  const passes = async () => [await above.passes(), await below.passes()];
  assertEquals(await passes(), [true, true]);
  {
    using _link = Link.attach(block, { type: "cgroup", cgroup: child.path });
    assertEquals(await passes(), [true, false]);
  }
  using _link = Link.attach(block, { type: "cgroup", cgroup: parent.path });
  assertEquals(await passes(), [false, false]);
});

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

/** A program that does not fit the attach type of a cgroup link: the kernel would take it, `Link.update` does not. */
/** A program of one type for another attach type, which the kernel's update does not compare. */
const MISFITS: readonly [type: ProgramTypeName, right: AttachTypeName, wrong: AttachTypeName][] = [
  ["cgroup_sock_addr", "cgroup_inet4_connect", "cgroup_inet6_connect"],
  ["cgroup_sock_addr", "cgroup_inet4_connect", "cgroup_inet4_bind"],
  ["cgroup_sockopt", "cgroup_getsockopt", "cgroup_setsockopt"],
];

for (const [type, right, wrong] of MISFITS) {
  kernelTest(`${wrong} is refused in a link of ${right}`, { needs: ["cgroup2"] }, () => {
    const load = (expectedAttachType: AttachTypeName) => answering(1, { type, expectedAttachType });
    using cgroup = new Cgroup();
    using fitting = load(right);
    using another = load(right);
    using misfit = load(wrong);
    using link = Link.attach(fitting, { type: "cgroup", cgroup: cgroup.path });
    for (const options of [undefined, { expected: fitting }]) {
      const error = assertThrows(() => link.update(misfit, options), BpfError);
      assertEquals([error.reason, error.command], ["mismatch", "LINK_UPDATE"]);
      assertStringIncludes(error.message, `program ${misfit.id} (${type}) does not fit the attach type ${right}`);
    }
    assertEquals(link.info().programId, fitting.id);
    linkUpdate(link.fd, misfit.fd); // the kernel's own answer
    assertEquals(link.info().programId, misfit.id);
    link.update(another); // there is a way out
    assertEquals(link.info().programId, another.id);
  });
}

kernelTest("G update: a cgroup refuses what its kernel would take", { needs: ["cgroup2"] }, () => {
  const connect = (attachType: "cgroup_inet4_connect" | "cgroup_inet6_connect") =>
    answering(1, { type: "cgroup_sock_addr", expectedAttachType: attachType });
  using cgroup = new Cgroup();
  using connect4 = connect("cgroup_inet4_connect");
  using connect6 = connect("cgroup_inet6_connect");
  using link = Link.attach(connect4, { type: "cgroup", cgroup: cgroup.path });
  assertEquals(link.info().attachType, "cgroup_inet4_connect");
  assertThrows(() => link.update(connect6), BpfError);
  assertEquals(link.info().programId, connect4.id);
});

rows(
  CGROUP,
  [
    "a cgroup as /proc names it",
    (own) => {
      const { cgroup } = cgroupTarget(own), [mount] = mountPoints("cgroup2");
      return Link.attach(own.use(cgroupEgress()), { type: "cgroup", cgroup: cgroup.slice(mount!.length) });
    },
    "openat ENOENT gone",
    /target\.cgroup "\/.*did you mean "\/.*\/bpf-link-test-/,
  ],
  [
    "a name that no cgroup has",
    () => Hook.query({ type: "cgroup", cgroup: "none", attachType: "cgroup_inet_egress" }),
    "openat ENOENT gone",
    /target\.cgroup "none".*\/sys\/fs\/cgroup\/NAME/,
  ],
);

kernelTest("cgroup: 64 links a hook, and one more", { needs: ["cgroup2"] }, () => {
  using cgroup = new Cgroup();
  using program = cgroupEgress();
  using links = new DisposableStack();
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" } as const;
  for (let i = 0; i < 64; i++) links.use(Link.attach(program, target));
  const error = assertThrows(() => Link.attach(program, target), BpfError);
  assertEquals([error.code, error.reason, error.hint !== undefined], ["E2BIG", "limit", true]);
  assertEquals(Hook.query(target).entries.length, 64);
});

kernelTest("cgroup: it is removed", { needs: ["cgroup2"] }, async () => {
  const cgroup = new Cgroup();
  using program = cgroupEgress();
  using next = cgroupEgress();
  const attachType = "cgroup_inet_egress";
  using link = Link.attach(program, { type: "cgroup", cgroup: cgroup.path, attachType });
  cgroup[Symbol.dispose]();
  await until(() => link.attached() === false, "the kernel detaches the link");
  await assertDetached(link, program, next, { cgroupId: 0n, attachType });
  const error = assertThrows(() => Link.attach(program, { type: "cgroup", cgroup: cgroup.path, attachType }), BpfError);
  assertEquals([error.code, error.reason], ["ENOENT", "gone"]);
});
