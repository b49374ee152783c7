/** What the doc comments of lib/sys/program.ts say. */
import { assert, assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { btfFind } from "../../../lib/ffi/btf.ts";
import {
  BpfError,
  close,
  enableStats,
  linkCreate,
  objPin,
  progGetFdById,
  progGetInfoByFd,
  progGetNextId,
  progLoad,
  rawTracepointOpen,
} from "../../../lib/sys/mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { assemble, exit, load as read, loadMap, set } from "../../fixture/program/assembler.ts";
import { hitTracepoint, load, map, netns, program } from "../../fixture/program/sys_objects.ts";
import {
  claim,
  exhausted,
  IN_USER_NAMESPACE,
  inChild,
  isCloseOnExec,
  misuse,
  NO_FD,
  NO_ID,
  outcomeSync,
  refusal,
  unprivileged,
  unprivilegedRefusal,
  withOnly,
  WITHOUT_CAPABILITIES,
} from "../../fixture/run/claims.ts";
import { until } from "../../fixture/run/wait.ts";

const PASS = assemble(set(0, 2), exit);
const unprivilegedLoad = { needs: ["setpriv"] } as const;

function errorOf(call: () => number): BpfError {
  try {
    close(call());
  } catch (error) {
    assertInstanceOf(error, BpfError);
    return error;
  }
  throw new Error("the kernel did it");
}

/** Whether statistics are enabled whoever wants them. */
function areAlwaysEnabled(): boolean {
  try {
    return Deno.readTextFileSync("/proc/sys/kernel/bpf_stats_enabled") !== "0\n";
  } catch {
    return false; // hidden
  }
}

/** Whether a program is there. */
const exists = (id: number) => outcomeSync(() => close(progGetFdById(id))) === "ok";

// ---- progLoad

claim("progLoad: returns an fd of the program, close-on-exec", {}, (own) => {
  const fd = load.xdp(own);
  assertEquals([progGetInfoByFd(fd).type, isCloseOnExec(fd)], ["xdp", true]);
});
claim("progLoad: also: if the verifier refuses, its log is in the error", {}, () => {
  const { log } = errorOf(() => progLoad("xdp", assemble(read(0, 1, 4096), exit)));
  assertMatch(log!, /invalid bpf_context access/);
});
claim("progLoad: also: no log with logLevel 0, more with 2", {}, () => {
  const wrong = assemble(read(0, 1, 4096), exit);
  const [none, some, more] = [0, 1, 2].map((logLevel) => errorOf(() => progLoad("xdp", wrong, { logLevel })).log ?? "");
  assertEquals(none, "");
  assert(some!.length > 0 && more!.length >= some!.length);
});
claim("progLoad: also: the end of a log that is longer than logSize is kept", { since: "6.4" }, () => {
  const wrong = assemble(...Array.from({ length: 50 }, () => set(0, 0)), read(0, 1, 4096), exit);
  const log = errorOf(() => progLoad("xdp", wrong, { logLevel: 2, logSize: 128 })).log!;
  assert(log.length <= 128);
  assertMatch(log, /processed \d+ insns/);
});
claim(
  "progLoad: the program lives until its last fd, pin and link is gone",
  { needs: ["netns", "bpffs"] },
  async (own) => {
    const fd = progLoad("sk_lookup", assemble(set(0, 1), exit), { expectedAttachType: "sk_lookup" });
    const { id } = progGetInfoByFd(fd), pin = own.use(new PinDirectory()).pin("x");
    objPin(fd, pin);
    const link = linkCreate(fd, netns(own), "sk_lookup");
    close(fd);
    assert(exists(id));
    Deno.removeSync(pin);
    assert(exists(id));
    close(link);
    await until(() => !exists(id), "the program is gone");
  },
);
claim("progLoad: also: a name for listings, of which the kernel keeps 15 bytes", {}, (own) => {
  assertEquals(progGetInfoByFd(program(own, "xdp", 2, { name: "a_name.of_16_byt" })).name, "a_name.of_16_by");
});
claim("progLoad: also: helpers marked so want a licence compatible with the GPL, which is the default", {}, (own) => {
  const KTIME_GET_BOOT_NS = 125, calling = assemble([0x85, 0, 0, 0, KTIME_GET_BOOT_NS], set(0, 0), exit);
  own.fd(progLoad("raw_tracepoint", calling));
  const log = errorOf(() =>
    progLoad("raw_tracepoint", assemble([0x85, 0, 0, 0, 6], set(0, 0), exit), { license: "MIT" })
  ).log!;
  assertMatch(log, /GPL/);
});
claim("progLoad: attachBtfId since Linux 5.5", {}, (own) => assert(progGetInfoByFd(load.iterator(own)).id > 0));
for (
  const [what, type, capabilities] of [
    ["CAP_BPF and CAP_NET_ADMIN for programs of the network", "xdp", ["bpf", "net_admin"]],
    ["CAP_BPF and CAP_PERFMON for tracing ones", "kprobe", ["bpf", "perfmon"]],
    ["CAP_SYS_ADMIN stands in for all: network", "xdp", ["sys_admin"]],
    ["CAP_SYS_ADMIN stands in for all: tracing", "kprobe", ["sys_admin"]],
  ] as const
) {
  claim(`progLoad: ${what}`, unprivilegedLoad, async () => {
    assertEquals(await unprivileged(`answering("${type}", 2)`, "", withOnly(...capabilities)), "ok");
    if (capabilities.length === 1) return;
    for (const capability of capabilities) {
      assertEquals(await unprivileged(`answering("${type}", 2)`, "", withOnly(capability)), "EPERM", capability);
    }
  });
}
misuse(
  "progLoad: TypeError, a value has the wrong type, or an option is unknown",
  () => progLoad("xdp", "code" as never),
  () => progLoad("nonsense" as never, PASS),
  () => progLoad("xdp", PASS, { nam: "x" } as never),
  () => progLoad("xdp", PASS, { name: "a b" }),
);
misuse(
  "progLoad: RangeError, a number is out of range, or `instructions` is no multiple of 8 bytes",
  () => progLoad("xdp", PASS, { progFlags: -1 }),
  () => progLoad("xdp", PASS, { attachProgFd: 2 ** 31 }),
  () => progLoad("xdp", PASS.subarray(1)),
  () => progLoad("xdp", new Uint8Array()),
);
refusal(
  "progLoad: EACCES, the verifier refuses the program",
  {},
  () => progLoad("xdp", assemble(read(0, 1, 4096), exit)),
);
refusal("progLoad: EINVAL, the verifier refuses the program", {}, () => progLoad("xdp", assemble(set(0, 0))));
refusal(
  "progLoad: EINVAL, the kernel refuses the options",
  {},
  () => progLoad("xdp", PASS, { progFlags: 1 << 31 >>> 0 }),
);
unprivilegedRefusal("progLoad: EPERM, capabilities are missing", 'answering("xdp", 2)');
claim("progLoad: `reason` says that capabilities are missing", unprivilegedLoad, async () => {
  const source = 'try { answering("xdp", 2) } catch (error) { console.log(error.reason) }';
  assertEquals(await inChild(WITHOUT_CAPABILITIES, source), "capability");
});
claim(
  "progLoad: EPERM, the kernel refuses this kind of program by policy; `reason` says which",
  { needs: ["no trampolines"] },
  () => {
    const attachBtfId = btfFind("function", "vfs_read")!;
    const { code, reason } = errorOf(() =>
      progLoad("tracing", assemble(set(0, 0), exit), { expectedAttachType: "trace_fentry", attachBtfId })
    );
    assertEquals([code, reason], ["EPERM", "policy"]);
  },
);
refusal(
  "progLoad: ENOTSUPP, type, attach type and BTF id do not go together",
  {},
  () => progLoad("struct_ops", PASS, { attachBtfId: 1 }),
);
refusal(
  "progLoad: E2BIG, more than a million instructions",
  {},
  () => progLoad("xdp", new Uint8Array(8 * 1_000_001), { logLevel: 0 }),
);
refusal("progLoad: E2BIG, too complex", {}, () =>
  progLoad(
    "xdp",
    assemble(
      set(1, 0),
      ...new Array(1000).fill(set(2, 0)), // fewer rounds for the verifier, which keeps what it knows of each
      [0x07, 1, 0, 0, 1], // r1 += 1
      [0xa5, 1, 0, -1002, 2_000_000], // as long as r1 < 2,000,000
      set(0, 2),
      exit,
    ),
    { logLevel: 0 },
  ));
refusal(
  "progLoad: EBADF, an fd is not open: that of a map in an instruction",
  {},
  () => progLoad("xdp", assemble(...loadMap(1, NO_FD), set(0, 2), exit)),
);
refusal(
  "progLoad: also: EBADF, `progBtfFd` is not open",
  {},
  () => progLoad("xdp", PASS, { progBtfFd: NO_FD, funcInfo: new Uint8Array(8) }),
);
refusal("progLoad: EBADF, `tokenFd` is not open", { since: "6.9" }, () => progLoad("xdp", PASS, { tokenFd: NO_FD }));
refusal(
  "progLoad: E2BIG, an option that an older kernel has no room for",
  { before: "6.4" },
  () => progLoad("xdp", PASS, { tokenFd: NO_FD }),
);
for (const option of ["attachProgFd", "attachBtfObjFd"] as const) {
  refusal(
    `progLoad: EINVAL, \`${option}\` is not open`,
    { since: "5.11" },
    () => progLoad("tracing", PASS, { expectedAttachType: "trace_raw_tp", attachBtfId: 1, [option]: NO_FD }),
  );
}
claim("progLoad: EMFILE, the process has too many open files", {}, async () => {
  assertEquals(await exhausted('answering("xdp", 2)'), "EMFILE");
});

// ---- progGetFdById

claim("progGetFdById: returns an fd of the program, close-on-exec", {}, (own) => {
  const { id } = progGetInfoByFd(load.xdp(own)), again = own.fd(progGetFdById(id));
  assertEquals([progGetInfoByFd(again).id, isCloseOnExec(again)], [id, true]);
});
misuse("progGetFdById: RangeError, `id` is no unsigned 32-bit number", () => progGetFdById(-1));
refusal("progGetFdById: ENOENT, no program has this id", {}, () => progGetFdById(NO_ID));
unprivilegedRefusal("progGetFdById: EPERM, CAP_SYS_ADMIN is missing", "progGetFdById(1)", ["sys_admin"]);
claim(
  "progGetFdById: also: EPERM, CAP_SYS_ADMIN counts in the initial user namespace only",
  { needs: ["userns"] },
  async () => assertEquals(await unprivileged("progGetFdById(1)", "", IN_USER_NAMESPACE), "EPERM"),
);
claim("progGetFdById: EMFILE, the process has too many open files", {}, async (own) => {
  assertEquals(await exhausted(`progGetFdById(${progGetInfoByFd(load.xdp(own)).id})`), "EMFILE");
});

// ---- progGetInfoByFd

claim("progGetInfoByFd: returns its info", {}, (own) => {
  const array = map(own, "array");
  const fd = own.fd(progLoad("xdp", assemble(...loadMap(1, array), set(0, 2), exit), { name: "pass" }));
  const { id, tag, loadTime, mapIds, ...info } = progGetInfoByFd(fd);
  assertEquals(info, { type: "xdp", createdByUid: 0, name: "pass", runTimeNs: 0n, runCnt: 0n, btfId: 0 });
  assert(id > 0 && /^[0-9a-f]{16}$/.test(tag) && loadTime > 0n);
  assertEquals(mapIds.length, 1);
});
claim("progGetInfoByFd: also: the ids of its maps", {}, (own) => {
  const maps = Array.from({ length: 3 }, () => map(own, "array"));
  const instructions = assemble(...maps.flatMap((fd) => loadMap(1, fd)), set(0, 2), exit);
  assertEquals(progGetInfoByFd(own.fd(progLoad("xdp", instructions))).mapIds.length, 3);
});
claim("progGetInfoByFd: also: runCnt and runTimeNs are 0n unless statistics are enabled", {
  missing: areAlwaysEnabled() ? "needs kernel.bpf_stats_enabled to be 0" : undefined,
}, async (own) => {
  const counts = () => {
    const program = load.tracepoint(own);
    own.fd(rawTracepointOpen("oom_score_adj_update", program));
    for (let i = 0; i < 2; i++) hitTracepoint();
    const { runCnt, runTimeNs } = progGetInfoByFd(program);
    return [runCnt, runTimeNs];
  };
  await until(() => counts().every((count) => count === 0n), "runs are not counted"); // others may want it meanwhile
  own.fd(enableStats());
  assert(counts().every((count) => count > 0n));
});
claim(
  "progGetInfoByFd: needs no capability, only the fd",
  { needs: ["bpffs", "setpriv"], since: "5.19" },
  async (own) => {
    const pin = own.use(new PinDirectory()).pin("x");
    objPin(load.xdp(own), pin);
    assertEquals(await unprivileged("progGetInfoByFd(program)", `const program = objGet("${pin}")`), "ok");
  },
);
misuse("progGetInfoByFd: RangeError, `progFd` is no fd", () => progGetInfoByFd(-1));
refusal("progGetInfoByFd: EBADFD, `progFd` is not open", {}, () => void progGetInfoByFd(NO_FD));
refusal("progGetInfoByFd: EINVAL, `progFd` is no object of bpf", {}, (own) => void progGetInfoByFd(own.file()));

// ---- progGetNextId

claim("progGetNextId: returns the id, or `undefined` if no program has a larger one", {}, (own) => {
  const [first, second] = [load.xdp(own), load.xdp(own)].map((fd) => progGetInfoByFd(fd).id) as [number, number];
  const seen: number[] = [];
  for (let id = progGetNextId(first - 1); id !== undefined && id <= second; id = progGetNextId(id)) seen.push(id);
  assertEquals([seen[0], seen.at(-1)], [first, second]);
  assertEquals(progGetNextId(NO_ID), undefined);
});
misuse("progGetNextId: RangeError, `startId` is no unsigned 32-bit number", () => progGetNextId(-1));
unprivilegedRefusal("progGetNextId: EPERM, CAP_SYS_ADMIN is missing", "progGetNextId(0)", ["sys_admin"]);
claim("progGetNextId: CAP_BPF is not enough", { needs: ["setpriv"] }, async () => {
  assertEquals(await unprivileged("progGetNextId(0)", "", withOnly("bpf")), "EPERM");
});
refusal("progGetNextId: EINVAL, `startId` is 2 ** 31 - 1 or more", {}, () => void progGetNextId(2 ** 31 - 1));
