/** What the doc comments of lib/sys/btf.ts say. */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import {
  BpfError,
  btfGetFdById,
  btfGetInfoByFd,
  btfGetNextId,
  btfLoad,
  close,
  progGetInfoByFd,
  progLoad,
} from "../../../lib/sys/mod.ts";
import { assemble, exit, set } from "../../fixture/program/assembler.ts";
import { FUNCTION_INFO, functionBtf } from "../../fixture/program/btf.ts";
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
  type Own,
  refusal,
  unprivileged,
  unprivilegedRefusal,
  withOnly,
  WITHOUT_CAPABILITIES,
} from "../../fixture/run/claims.ts";
import { until } from "../../fixture/run/wait.ts";

const DATA = functionBtf("judge", "xdp_md");
/** The same as a literal, for scripts. */
const LITERAL = `new Uint8Array([${DATA.join()}])`;
const load = (own: Own) => own.fd(btfLoad(DATA));
const idOf = (fd: number) => btfGetInfoByFd(fd).id;
const exists = (id: number) => outcomeSync(() => close(btfGetFdById(id))) === "ok";

// ---- btfLoad

claim("btfLoad: returns an fd of it, close-on-exec, for `progBtfFd` of progLoad", {}, (own) => {
  const progBtfFd = load(own);
  const program = own.fd(progLoad("xdp", assemble(set(0, 2), exit), { progBtfFd, funcInfo: FUNCTION_INFO }));
  assertEquals([progGetInfoByFd(program).btfId, isCloseOnExec(progBtfFd)], [idOf(progBtfFd), true]);
});
claim("btfLoad: it lives until its last fd and the last program that was loaded with it are gone", {}, async () => {
  const progBtfFd = btfLoad(DATA), id = idOf(progBtfFd);
  const program = progLoad("xdp", assemble(set(0, 2), exit), { progBtfFd, funcInfo: FUNCTION_INFO });
  close(progBtfFd);
  assert(exists(id));
  close(program);
  await until(() => !exists(id), "the BTF is gone");
});
claim("btfLoad: needs CAP_BPF", { needs: ["setpriv"] }, async () => {
  assertEquals(await unprivileged(`btfLoad(${LITERAL})`, "", withOnly("bpf")), "ok");
});
misuse(
  "btfLoad: TypeError, a value has the wrong type, or an option is unknown",
  () => btfLoad("data" as never),
  () => btfLoad(DATA, { token: 1 } as never),
);
misuse(
  "btfLoad: RangeError, a number is out of range",
  () => btfLoad(DATA, { tokenFd: -1 }),
  () => btfLoad(DATA, { logLevel: 16 }),
  () => btfLoad(DATA, { logSize: 0 }),
);
claim("btfLoad: also: the kernel's words about bad BTF are in `log`, none with logLevel 0", {}, () => {
  const damaged = DATA.slice();
  damaged[24 + 4 + 3] = 99; // the kind of the first type
  const logs = [1, 0].map((logLevel) => {
    try {
      close(btfLoad(damaged, { logLevel }));
    } catch (error) {
      assertInstanceOf(error, BpfError);
      return error.log ?? "";
    }
    throw new Error("the kernel took it");
  });
  assert(logs[0]!.length > 0);
  assertEquals(logs[1], "");
});
refusal("btfLoad: EINVAL, the data is no BTF", {}, () => btfLoad(new Uint8Array(64)));
refusal("btfLoad: EINVAL, the data is damaged", {}, () => btfLoad(DATA.subarray(0, DATA.length - 4)));
refusal("btfLoad: EINVAL, the data has a kind of type that this kernel does not know", {}, () => {
  const unknown = DATA.slice();
  unknown[24 + 4 + 3] = 31;
  return btfLoad(unknown);
});
refusal("btfLoad: E2BIG, more than 16 MiB", {}, () => btfLoad(new Uint8Array(2 ** 24 + 1), { logLevel: 0 }));
unprivilegedRefusal("btfLoad: EPERM, CAP_BPF is missing", `btfLoad(${LITERAL})`);
claim("btfLoad: EMFILE, the process has too many open files", {}, async () => {
  assertEquals(await exhausted(`btfLoad(${LITERAL})`), "EMFILE");
});

// ---- btfGetNextId

claim("btfGetNextId: the id of the next BTF object, 0 for the first", {}, (own) => {
  load(own); // before 5.11 the kernel's own has no id
  const id = idOf(load(own)), first = btfGetNextId(0)!;
  assert(first > 0 && first < id);
  assertEquals(btfGetNextId(id - 1), id);
});
claim("btfGetNextId: `undefined` at the end", {}, () => assertEquals(btfGetNextId(0x7ffffffe), undefined));
claim("btfGetNextId: the object may be gone before it is opened", {}, async () => {
  const fd = btfLoad(DATA), id = btfGetNextId(idOf(fd) - 1)!;
  close(fd);
  await until(() => outcomeSync(() => close(btfGetFdById(id))) === "ENOENT", "the BTF is gone");
});
misuse("btfGetNextId: RangeError, `startId` is no unsigned 32-bit number", () => btfGetNextId(-1));
unprivilegedRefusal("btfGetNextId: EPERM, CAP_SYS_ADMIN is missing", "btfGetNextId(0)", ["sys_admin"]);
claim(
  "btfGetNextId: also: EPERM, CAP_SYS_ADMIN counts in the initial user namespace only",
  { needs: ["userns"] },
  async () => assertEquals(await unprivileged("btfGetNextId(0)", "", IN_USER_NAMESPACE), "EPERM"),
);
refusal("btfGetNextId: EINVAL, `startId` is 2 ** 31 - 1 or more", {}, () => btfGetNextId(0x7fffffff));

// ---- btfGetFdById

claim("btfGetFdById: returns an fd of it, close-on-exec", {}, (own) => {
  const id = idOf(load(own)), again = own.fd(btfGetFdById(id));
  assertEquals([idOf(again), isCloseOnExec(again)], [id, true]);
});
misuse("btfGetFdById: RangeError, `id` is no unsigned 32-bit number", () => btfGetFdById(-1));
refusal("btfGetFdById: ENOENT, no BTF object has this id", {}, () => btfGetFdById(NO_ID));
unprivilegedRefusal("btfGetFdById: EPERM, CAP_SYS_ADMIN is missing", "btfGetFdById(1)", ["sys_admin"]);
claim(
  "btfGetFdById: also: EPERM, CAP_SYS_ADMIN counts in the initial user namespace only",
  { needs: ["userns"] },
  async () => assertEquals(await unprivileged("btfGetFdById(1)", "", IN_USER_NAMESPACE), "EPERM"),
);
claim("btfGetFdById: EMFILE, the process has too many open files", {}, async (own) => {
  assertEquals(await exhausted(`btfGetFdById(${idOf(load(own))})`), "EMFILE");
});

// ---- btfGetInfoByFd

claim("btfGetInfoByFd: also: that of a program has no name and is not the kernel's", {}, (own) => {
  const { id, ...info } = btfGetInfoByFd(load(own));
  assert(id > 0);
  assertEquals(info, { btfSize: DATA.length, name: "", kernelBtf: false });
});
claim("btfGetInfoByFd: also: `name` and `kernelBtf` of the kernel's own since Linux 5.11", { since: "5.11" }, (own) => {
  const { name, kernelBtf, btfSize } = btfGetInfoByFd(own.fd(btfGetFdById(btfGetNextId(0)!)));
  assertEquals([name, kernelBtf], ["vmlinux", true]);
  assert(btfSize > 2 ** 20);
});
claim("btfGetInfoByFd: needs no capability, only the fd", { needs: ["setpriv"], since: "5.19" }, async () => {
  // that it gets beyond the fd is all that can be seen without one
  const source = `const fd = btfLoad(${LITERAL}); console.log(btfGetInfoByFd(fd).btfSize); close(fd);`;
  assertEquals(await inChild(withOnly("bpf"), source), String(DATA.length));
  assertEquals(
    await inChild(WITHOUT_CAPABILITIES, 'console.log(outcome(() => btfGetInfoByFd(open("/dev/null"))))'),
    "EINVAL",
  );
});
misuse("btfGetInfoByFd: RangeError, `btfFd` is no fd", () => btfGetInfoByFd(-1));
refusal("btfGetInfoByFd: EBADFD, `btfFd` is not open", {}, () => void btfGetInfoByFd(NO_FD));
refusal("btfGetInfoByFd: EINVAL, `btfFd` is no object of bpf", {}, (own) => void btfGetInfoByFd(own.file()));
