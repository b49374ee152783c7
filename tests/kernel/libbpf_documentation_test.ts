/**
 * Nine places where documentation written for libbpf's link calls is wrong: what it says, and one test each for what
 * the kernel answers.
 */
import { assert, assertEquals } from "@std/assert";
import { Request } from "../../lib/ffi/request.ts";
import { close, linkDetach, linkGetFdById, linkGetFdByIdOpts, linkGetNextId, linkUpdate } from "../../lib/sys/mod.ts";
import { type AttachTarget, BpfError, Link, type Program } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { without } from "../fixture/process/privileges.ts";
import { runScript } from "../fixture/process/script.ts";
import {
  answering,
  cgroupEgress,
  rawTracepoint,
  skLookup,
  taskIterator,
  tcx,
  xdp,
} from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

const LINK_UPDATE = 29, BPF_F_REPLACE = 4;
const EPERM = -1, EBADF = -9, EINVAL = -22;

/** The code of the error, or "ok". */
function outcome(call: () => unknown): string {
  try {
    call();
    return "ok";
  } catch (error) {
    if (error instanceof BpfError) return error.code;
    throw error;
  }
}

/** LINK_UPDATE as it is, without what the calls of this package add. */
function update(link: Link, newProgram: Program, flags: number, oldFd: number): number {
  return new Request(16).u32(0, link.fd).u32(4, newProgram.fd).u32(8, flags).u32(12, oldFd).bpf(LINK_UPDATE);
}

/** Kinds of links with what they can. */
interface Kind {
  readonly type: string;
  readonly load: () => Program;
  readonly target: AttachTarget;
}

/** Runs `test` with a link of each kind and two more programs for it. */
function forEach(kinds: readonly Kind[], test: (link: Link, programs: [Program, Program, Program]) => void): void {
  for (const { load, target } of kinds) {
    using a = load();
    using b = load();
    using c = load();
    using link = Link.attach(a, target) as Link;
    test(link, [a, b, c]);
  }
}

const UPDATABLE: readonly Kind[] = [
  { type: "xdp", load: xdp, target: { type: "xdp", device: "lo", mode: "generic" } },
  { type: "tcx", load: tcx, target: { type: "tcx", device: "lo", direction: "ingress" } },
  { type: "netns", load: skLookup, target: { type: "netns", attachType: "sk_lookup" } },
  { type: "iter", load: () => taskIterator("x"), target: { type: "iter" } },
];
const RAW: Kind = {
  type: "raw_tracepoint",
  load: rawTracepoint,
  target: { type: "raw_tracepoint", name: "oom_score_adj_update" },
};
const NETFILTER: Kind = {
  type: "netfilter",
  load: () => answering(1, { type: "netfilter", expectedAttachType: "netfilter" }),
  target: { type: "netfilter", family: "ipv4", hook: "local_in", priority: 3 },
};

/** All that can be updated, with a link to a cgroup of the test's own. */
function forEachUpdatable(test: Parameters<typeof forEach>[1]): void {
  using cgroup = new Cgroup();
  const target = { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" } as const;
  forEach([...UPDATABLE, { type: "cgroup", load: cgroupEgress, target }], test);
}

const NEEDS = { needs: ["cgroup2", "netns"], since: "6.6" } as const;

kernelTest('"ESTALE if the link holds another program than old_prog_fd": it is EPERM', NEEDS, () => {
  forEachUpdatable((link, [_a, b, c]) => {
    assertEquals(outcome(() => linkUpdate(link.fd, b.fd, { oldProgFd: c.fd })), "EPERM", link.type);
    assertEquals(update(link, b, BPF_F_REPLACE, c.fd), EPERM, link.type);
  });
});

kernelTest(
  '"old_prog_fd alone is enough": it is EINVAL without BPF_F_REPLACE, and 0 skips nothing with it',
  NEEDS,
  () => {
    forEachUpdatable((link, [a, b]) => {
      assertEquals(update(link, b, 0, a.fd), EINVAL, link.type);
      assert([EINVAL, EBADF].includes(update(link, b, BPF_F_REPLACE, 0)), link.type); // looks at fd 0
      assertEquals(update(link, b, BPF_F_REPLACE, a.fd), 0, link.type);
    });
  },
);

kernelTest('"flags must be 0": BPF_F_REPLACE is one', NEEDS, () => {
  forEachUpdatable((link, [a, b]) => {
    assertEquals(outcome(() => linkUpdate(link.fd, b.fd, { flags: BPF_F_REPLACE, oldProgFd: a.fd })), "ok", link.type);
    for (const flags of [1, 2, 8, 16, 0x80000000]) {
      assertEquals(outcome(() => linkUpdate(link.fd, a.fd, { flags })), "EINVAL", `${link.type}, flags ${flags}`);
    }
  });
});

kernelTest('"only the first detach succeeds": every one does', NEEDS, () => {
  forEachUpdatable((link) => {
    if (link.type === "iter") return;
    const answers = Array.from({ length: 4 }, () => outcome(() => linkDetach(link.fd)));
    assertEquals(answers, ["ok", "ok", "ok", "ok"], link.type);
  });
});

kernelTest('"EOPNOTSUPP if the type has no update": it is EINVAL, but for netfilter', NEEDS, () => {
  forEach([RAW], (link, [_a, b]) => assertEquals(outcome(() => linkUpdate(link.fd, b.fd)), "EINVAL"));
  forEach([NETFILTER], (link, [_a, b]) => assertEquals(outcome(() => linkUpdate(link.fd, b.fd)), "EOPNOTSUPP"));
});

kernelTest('"open_flags and token_fd open a link with other rights": they are EINVAL', NEEDS, () => {
  forEach([RAW], (link) => {
    close(linkGetFdByIdOpts(link.id, { openFlags: 0, tokenFd: 0 }));
    for (const options of [{ openFlags: 8 }, { openFlags: 16 }, { openFlags: 1 }, { tokenFd: link.fd }]) {
      assertEquals(outcome(() => linkGetFdByIdOpts(link.id, options)), "EINVAL", Deno.inspect(options));
    }
  });
});

kernelTest('"EINVAL for the id 0": it is ENOENT, as for every other that is not there', NEEDS, () => {
  assertEquals([0, 0x7ffffff0].map((id) => outcome(() => linkGetFdById(id))), ["ENOENT", "ENOENT"]);
});

kernelTest('"EINVAL if the type has no detach": it is EOPNOTSUPP', NEEDS, () => {
  forEach([RAW, UPDATABLE.at(-1)!], (link, [a]) => {
    const answers = [1, 2].map(() => outcome(() => linkDetach(link.fd)));
    assertEquals(answers, ["EOPNOTSUPP", "EOPNOTSUPP"], link.type);
    assertEquals(outcome(() => linkDetach(a.fd)), "EINVAL"); // no link at all
  });
});

kernelTest('"CAP_BPF is enough to find links": only CAP_SYS_ADMIN is', { needs: ["setpriv"] }, async () => {
  const script = `
    import { linkGetFdById, linkGetNextId } from "${new URL("../../lib/sys/mod.ts", import.meta.url)}";
    for (const call of [() => linkGetNextId(0), () => linkGetFdById(0)]) {
      try {
        console.log(typeof call());
      } catch (error) {
        console.log(error.code, error.reason);
      }
    }
  `;
  const outputOf = async (through: string[]) => (await runScript(script, ["--allow-ffi"], { through })).output;
  using program = rawTracepoint();
  using link = Link.attach(program, RAW.target as { type: "raw_tracepoint"; name: string });
  assert(linkGetNextId(link.id - 1) === link.id);
  assertEquals(await outputOf(without("sys_admin")), "EPERM capability\nEPERM capability\n");
  assertEquals(await outputOf(without("bpf", "perfmon", "net_admin")), "number\nENOENT gone\n");
});
