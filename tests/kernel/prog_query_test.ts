/** PROG_QUERY: every field, growth, every refusal; and what a `Hook` tells without privileges, or without revisions. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type AttachTypeName, close, open, progQuery, type ProgQueryOptions } from "../../lib/sys/mod.ts";
import { BpfError, Hook, Link } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { OtherNetns } from "../fixture/place/netns.ts";
import { without } from "../fixture/process/privileges.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { cgroupEgress, tcx, xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

const ATTACH_TYPE = "cgroup_inet_egress" as const;
const EFFECTIVE = 1, MULTI = 2;
const INGRESS = { type: "tcx", device: "lo", direction: "ingress" } as const;

/** An fd, closed at the end of the scope. */
class Opened implements Disposable {
  readonly fd: number;

  constructor(path: string) {
    this.fd = open(path);
  }

  [Symbol.dispose](): void {
    close(this.fd);
  }
}

kernelTest("a cgroup's fields", { needs: ["cgroup2"], since: "6.17" }, () => {
  using cgroup = new Cgroup();
  using directory = new Opened(cgroup.path);
  using a = cgroupEgress();
  assertEquals(progQuery(directory.fd, ATTACH_TYPE), { attachFlags: 0, revision: 1n, progs: [] });
  using _link = Link.attach(a, { type: "cgroup", cgroup: cgroup.path });
  assertEquals(progQuery(directory.fd, ATTACH_TYPE), {
    attachFlags: MULTI,
    revision: 2n,
    progs: [{ progId: a.id, progAttachFlags: MULTI }],
  });
  // the effective ones have neither flags nor a revision
  const { progs, revision } = progQuery(directory.fd, ATTACH_TYPE, { queryFlags: EFFECTIVE });
  assertEquals([progs, revision], [[{ progId: a.id }], undefined]);
});

kernelTest("an interface's fields", { needs: ["netns"], since: "6.6" }, () => {
  using a = tcx();
  using link = Link.attach(a, INGRESS);
  assertEquals(progQuery(1, "tcx_ingress"), {
    attachFlags: 0,
    revision: 2n,
    progs: [{ progId: a.id, progAttachFlags: 0, linkId: link.id, linkAttachFlags: 0 }],
  });
});

kernelTest("more programs than there is room for at first", { needs: ["cgroup2"] }, () => {
  using parent = new Cgroup();
  using child = new Cgroup(parent.path);
  using program = cgroupEgress();
  using links = new DisposableStack();
  for (const { path } of [parent, child]) {
    for (let i = 0; i < 64; i++) {
      links.use(Link.attach(program, { type: "cgroup", cgroup: path, attachType: ATTACH_TYPE }));
    }
  }
  using directory = new Opened(child.path);
  assertEquals(progQuery(directory.fd, ATTACH_TYPE).progs.length, 64);
  const { progs } = progQuery(directory.fd, ATTACH_TYPE, { queryFlags: EFFECTIVE });
  assertEquals([progs.length, new Set(progs.map(({ progId }) => progId)).size], [128, 1]);
});

kernelTest("refusals", { needs: ["cgroup2", "netns"], since: "6.6" }, async () => {
  await using other = new OtherNetns();
  using cgroup = new Cgroup();
  using directory = new Opened(cgroup.path);
  using mount = new Opened("/proc/self/ns/mnt");
  using netns = new Opened(other.path);
  const refusal = (target: number, attachType: AttachTypeName, options?: ProgQueryOptions) => {
    const { code, command, hint } = assertThrows(() => progQuery(target, attachType, options), BpfError);
    assertEquals([command, hint !== undefined], ["PROG_QUERY", true]);
    return code;
  };
  assertEquals(progQuery(1, "tcx_ingress", { netns: netns.fd }).progs, []);
  assertEquals(refusal(9999, "tcx_ingress"), "ENODEV");
  assertEquals(refusal(9999, "tcx_ingress", { netns: netns.fd }), "ENODEV");
  assertEquals(refusal(1, "tcx_ingress", { queryFlags: EFFECTIVE }), "EINVAL");
  assertEquals(refusal(directory.fd, ATTACH_TYPE, { queryFlags: 2 }), "EINVAL");
  assertEquals(refusal(directory.fd, "trace_fentry"), "EINVAL");
  assertEquals(refusal(directory.fd, "xdp"), "EINVAL");
  assertEquals(refusal(mount.fd, "sk_lookup"), "EINVAL");
  assertEquals(refusal(mount.fd, ATTACH_TYPE), "EBADF");
  assertEquals(refusal(0x7fffffff, ATTACH_TYPE), "EBADF");
});

/** Runs a script `through` a command that drops capabilities. */
function run(body: string, through: readonly string[]): ReturnType<typeof runScript> {
  const script = `
    import { BpfError, Hook } from "${MOD}";
    try {
      ${body}
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      console.log(error.code, error.reason, error.hint !== undefined);
    }
  `;
  return runScript(script, ["--allow-ffi"], { through });
}

const UNPRIVILEGED = { needs: ["cgroup2", "netns", "setpriv"], since: "6.6" } as const;

kernelTest("without CAP_NET_ADMIN nothing but xdp can be asked", UNPRIVILEGED, async () => {
  using cgroup = new Cgroup();
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: ATTACH_TYPE };
  for (const place of [target, INGRESS, { type: "netns", attachType: "sk_lookup" }]) {
    const { output, errors } = await run(`Hook.query(${JSON.stringify(place)})`, without("net_admin", "sys_admin"));
    assertEquals([output, errors], ["EPERM capability true\n", ""]);
  }
  using program = xdp();
  using _link = Link.attach(program, { type: "xdp", device: "lo" });
  const ask = `console.log(Hook.query({ type: "xdp", device: "lo" }).entries.map(({ programId }) => programId).join())`;
  assertEquals((await run(ask, without("net_admin", "sys_admin"))).output, `${program.id}\n`);
});

kernelTest(
  "a cgroup's programs: their names for CAP_SYS_ADMIN, their links also for CAP_BPF and CAP_PERFMON",
  UNPRIVILEGED,
  async () => {
    using cgroup = new Cgroup();
    using program = cgroupEgress();
    const target = { type: "cgroup", cgroup: cgroup.path, attachType: ATTACH_TYPE } as const;
    using link = Link.attach(program, target);
    const ask = `console.log(JSON.stringify(Hook.query(${JSON.stringify(target)}).effective))`;
    const expected = { programId: program.id, attachFlags: MULTI };
    const seen = async (...capabilities: string[]) => JSON.parse((await run(ask, without(...capabilities))).output);
    assertEquals(await seen("sys_admin"), [{ ...expected, linkId: link.id }]);
    assertEquals(await seen("sys_admin", "perfmon"), [expected]);
    assertEquals(Hook.query(target).effective, [{ ...expected, linkId: link.id }]);
  },
);

kernelTest("a cgroup: no wrong revision passes, whether the kernel keeps one or not", { needs: ["cgroup2"] }, () => {
  using cgroup = new Cgroup();
  using program = cgroupEgress();
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: ATTACH_TYPE } as const;
  const hook = Hook.query(target);
  const { reason, hint } = assertThrows(() => Link.attach(program, { ...target, expectedRevision: 0xdeadn }), BpfError);
  assertEquals([reason, hint !== undefined], [hook.revision === undefined ? "unsupported" : "stale", true]);
  if (hook.revision === undefined) {
    assertEquals(assertThrows(() => hook.attach(program, () => "last"), BpfError).reason, "unsupported");
  } else {
    using link = hook.attach(program, () => "last");
    assert(link.attached());
  }
  assertEquals(hook.refresh().entries, []);
  using _last = Link.attach(program, { ...target, position: "last" }); // the default has a name on every kernel
});
