/** What the doc comments of lib/sys/raw_tracepoint.ts say. */
import { assertEquals } from "@std/assert";
import {
  close,
  linkCreate,
  linkGetInfoByFd,
  objPin,
  progGetInfoByFd,
  progLoad,
  rawTracepointOpen,
  rawTracepointOpenAsync,
} from "../../../lib/sys/mod.ts";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { assemble, exit, set } from "../../fixture/program/assembler.ts";
import { linkGuard, tracer } from "../../fixture/program/functions.ts";
import { load } from "../../fixture/program/sys_objects.ts";
import {
  claim,
  exhausted,
  isCloseOnExec,
  misuse,
  NO_FD,
  type Own,
  refusal,
  unprivileged,
} from "../../fixture/run/claims.ts";

const NAME = "oom_score_adj_update";

claim("rawTracepointOpen: attaches a program to a raw tracepoint, its result is a link, close-on-exec", {}, (own) => {
  const program = load.tracepoint(own), it = own.fd(rawTracepointOpen(NAME, program));
  const { type, progId } = linkGetInfoByFd(it);
  assertEquals([type, progId, isCloseOnExec(it)], ["raw_tracepoint", progGetInfoByFd(program).id, true]);
});
claim("rawTracepointOpen: without a name, a tp_btf program knows its tracepoint", {}, (own) => {
  const { type } = linkGetInfoByFd(own.fd(rawTracepointOpen(undefined, load.typed(own))));
  assertEquals(type, "raw_tracepoint");
});
claim(
  "rawTracepointOpen: without a name, fentry and lsm programs know their function",
  { needs: ["trampolines"] },
  (own) => {
    for (const { fd } of [own.use(tracer("trace_fentry", "vfs_read")), own.use(linkGuard("lsm_mac", 0))]) {
      assertEquals(linkGetInfoByFd(own.fd(rawTracepointOpen(undefined, fd))).type, "tracing");
    }
  },
);
refusal(
  "rawTracepointOpen: linkCreate refuses raw_tracepoint programs with EINVAL",
  {},
  (own) => linkCreate(load.tracepoint(own), 0, "trace_raw_tp"),
);
refusal(
  "rawTracepointOpen: before Linux 5.19 linkCreate refuses tp_btf programs with EINVAL",
  { before: "5.19" },
  (own) => linkCreate(load.typed(own), 0, "trace_raw_tp"),
);
claim("rawTracepointOpen: needs no capability beyond what loading the program took", {
  needs: ["bpffs", "setpriv"],
  since: "5.19",
}, async (own) => {
  const pin = own.use(new PinDirectory()).pin("x");
  objPin(load.tracepoint(own), pin);
  assertEquals(await unprivileged(`rawTracepointOpen("${NAME}", program)`, `const program = objGet("${pin}")`), "ok");
});
claim("rawTracepointOpen: a cookie since Linux 6.10", { since: "6.10" }, (own) => {
  const info = linkGetInfoByFd(own.fd(rawTracepointOpen(NAME, load.tracepoint(own), 7n)));
  if ("cookie" in info) assertEquals(info.cookie, 7n); // told since 6.17
});
refusal(
  "rawTracepointOpen: EINVAL, a cookie before Linux 6.10",
  { before: "6.10" },
  (own) => rawTracepointOpen(NAME, load.tracepoint(own), 7n),
);
misuse(
  "rawTracepointOpen: TypeError, a value has the wrong type",
  () => rawTracepointOpen("", 3),
  () => rawTracepointOpen(NAME, "3" as never),
  () => rawTracepointOpen(NAME, 3, 1 as never),
);
misuse(
  "rawTracepointOpen: RangeError, a number is out of range",
  () => rawTracepointOpen(NAME, -1),
  () => rawTracepointOpen(NAME, 3, 2n ** 64n),
);
refusal(
  "rawTracepointOpen: ENOENT, the kernel has no such tracepoint",
  {},
  (own) => rawTracepointOpen("none", load.tracepoint(own)),
);
refusal(
  "rawTracepointOpen: ENOENT, before Linux 5.13: the program was attached to its function before",
  { needs: ["trampolines"], before: "5.13" },
  (own) => {
    const program = load.fentry(own);
    close(rawTracepointOpen(undefined, program));
    return rawTracepointOpen(undefined, program);
  },
);
refusal(
  "rawTracepointOpen: EBUSY, the program is attached to its function already",
  { needs: ["trampolines"], since: "5.13" },
  (own) => {
    const program = load.fentry(own);
    own.fd(rawTracepointOpen(undefined, program));
    return rawTracepointOpen(undefined, program);
  },
);
refusal(
  "rawTracepointOpen: EEXIST, before Linux 6.10: the raw_tracepoint program is attached to the tracepoint already",
  { before: "6.10" },
  (own) => {
    const program = load.tracepoint(own);
    own.fd(rawTracepointOpen(NAME, program));
    return rawTracepointOpen(NAME, program);
  },
);
/** One program more than the function takes. */
const overfill = (own: Own, most: number) => {
  for (let i = 0; i < most; i++) own.fd(rawTracepointOpen(undefined, load.fentry(own)));
  return rawTracepointOpen(undefined, load.fentry(own));
};
refusal(
  "rawTracepointOpen: E2BIG, the function has 38 programs",
  { needs: ["trampolines"], since: "5.12" },
  (own) => overfill(own, 38),
);
refusal(
  "rawTracepointOpen: E2BIG, the function has 38 programs; 40 before Linux 5.12",
  { needs: ["trampolines"], before: "5.12" },
  (own) => overfill(own, 40),
);
refusal(
  "rawTracepointOpen: EINVAL, the program is of another type",
  {},
  (own) => rawTracepointOpen(NAME, load.xdp(own)),
);
refusal(
  "rawTracepointOpen: EINVAL, a name with a tracing program",
  {},
  (own) => rawTracepointOpen(NAME, load.typed(own)),
);
refusal(
  "rawTracepointOpen: EFAULT, a raw_tracepoint program without a name",
  {},
  (own) => rawTracepointOpen(undefined, load.tracepoint(own)),
);
refusal("rawTracepointOpen: EBADF, `progFd` is not open", {}, () => rawTracepointOpen(NAME, NO_FD));
claim("rawTracepointOpen: EMFILE, the process has too many open files", {}, async () => {
  const call = `rawTracepointOpen("${NAME}", program)`;
  assertEquals(await exhausted(call, 'const program = answering("raw_tracepoint", 0)'), "EMFILE");
});

claim("rawTracepointOpenAsync: with a duplicate of `progFd`, which may be closed meanwhile", {}, async (own) => {
  const program = progLoad("raw_tracepoint", assemble(set(0, 0), exit)), { id } = progGetInfoByFd(program);
  const made = rawTracepointOpenAsync(NAME, program);
  close(program);
  const it = own.fd(await made);
  assertEquals([linkGetInfoByFd(it).progId, isCloseOnExec(it)], [id, true]);
});
refusal(
  "rawTracepointOpenAsync: ENOENT, as rawTracepointOpen",
  {},
  (own) => rawTracepointOpenAsync("none", load.tracepoint(own)),
);
misuse("rawTracepointOpenAsync: RangeError, as rawTracepointOpen", async () => await rawTracepointOpenAsync(NAME, -1));
