/** BTF: loading it, finding it, and what programs are loaded for by it. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { btfFindInProgram } from "../../lib/btf/lookup.ts";
import {
  btfGetFdById,
  btfGetInfoByFd,
  btfGetNextId,
  btfLoad,
  close,
  open,
  progGetInfoByFd,
} from "../../lib/sys/mod.ts";
import { BpfError, Program } from "../../mod.ts";
import { assemble, exit, set } from "../fixture/program/assembler.ts";
import { functionBtf } from "../fixture/program/btf.ts";
import { JUDGE, JUDGE_ID, replaceable } from "../fixture/program/functions.ts";
import { xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";

function refusal(fn: () => unknown): BpfError {
  return assertThrows(fn, BpfError);
}

const instructions = assemble(set(0, 0), exit);

kernelTest("btfLoad: what is loaded is found by its id", {}, () => {
  const data = functionBtf("f", "xdp_md");
  const fd = btfLoad(data);
  try {
    const { id, btfSize, name, kernelBtf } = btfGetInfoByFd(fd);
    assertEquals([btfSize, name, kernelBtf], [data.length, "", false]);
    const again = btfGetFdById(id);
    assertEquals(btfGetInfoByFd(again).id, id);
    close(again);
    const ids: number[] = [];
    for (let next = btfGetNextId(0); next !== undefined; next = btfGetNextId(next)) ids.push(next);
    assert(ids.includes(id));
  } finally {
    close(fd);
  }
});

kernelTest("btfLoad: refusals", {}, () => {
  const damaged = functionBtf("f", "xdp_md");
  damaged[0] = 0;
  const error = refusal(() => btfLoad(damaged));
  assertEquals([error.code, error.command], ["EINVAL", "BTF_LOAD"]);
  assert(error.log?.includes("magic"), error.log);
  assertEquals(refusal(() => btfLoad(damaged, { logLevel: 0 })).log, undefined);
  assertEquals(refusal(() => btfLoad(new Uint8Array(17 << 20))).code, "E2BIG");
  assertThrows(() => btfLoad([] as unknown as Uint8Array), TypeError, "Uint8Array");
  assertThrows(() => btfLoad(damaged, { logLevel: 16 }), RangeError, "options.logLevel");
  assertThrows(() => btfLoad(damaged, { level: 1 } as never), TypeError, "level");
});

kernelTest("btfGetFdById, btfGetNextId, btfGetInfoByFd: refusals", {}, () => {
  assertEquals(refusal(() => btfGetFdById(0)).reason, "gone");
  assertEquals(refusal(() => btfGetFdById(0x7ffffff0)).reason, "gone");
  assertEquals(btfGetNextId(0x7ffffffe), undefined);
  assertEquals(refusal(() => btfGetNextId(0x7fffffff)).code, "EINVAL");
  assertEquals(refusal(() => btfGetInfoByFd(0x7ffffff0)).code, "EBADFD");
  const file = open("/dev/null");
  try {
    assertEquals(refusal(() => btfGetInfoByFd(file)).code, "EINVAL");
  } finally {
    close(file);
  }
});

kernelTest("btfGetInfoByFd: the kernel's own", { since: "5.11" }, () => {
  const fd = btfGetFdById(1);
  try {
    const { id, name, kernelBtf, btfSize } = btfGetInfoByFd(fd);
    assertEquals([id, name, kernelBtf], [1, "vmlinux", true]);
    assertEquals(btfSize, Deno.statSync("/sys/kernel/btf/vmlinux").size);
  } finally {
    close(fd);
  }
});

kernelTest("a program's functions are found in its BTF", {}, () => {
  using program = replaceable();
  assert(progGetInfoByFd(program.fd).btfId > 0);
  assertEquals(btfFindInProgram(program.fd, JUDGE, "symbol"), JUDGE_ID);
  assertEquals(refusal(() => btfFindInProgram(program.fd, "int", "symbol")).reason, "invalid"); // a type, no function
  using bare = xdp();
  assertEquals(progGetInfoByFd(bare.fd).btfId, 0);
  assertEquals(refusal(() => btfFindInProgram(bare.fd, JUDGE, "symbol")).reason, "invalid");
});

kernelTest("attachTo: what is not there", {}, () => {
  const load = (attachTo: string | { btfId: number; module?: string } | { struct: string; member: string }) => () =>
    Program.load(
      typeof attachTo === "object" && attachTo !== null && "struct" in attachTo
        ? { type: "struct_ops", instructions, attachTo }
        : { type: "tracing", expectedAttachType: "trace_fentry", instructions, attachTo },
    );
  for (
    const nowhere of [
      "there_is_no_such_function",
      "there_is_no_such_module:vfs_read",
      { btfId: 1, module: "there_is_no_such_module" },
      { struct: "there_is_no_such_struct", member: "init" },
      { struct: "tcp_congestion_ops", member: "there_is_no_such_member" },
    ]
  ) {
    const error = refusal(load(nowhere));
    assertEquals([error.reason, error.code], ["unsupported", "ENOENT"]);
  }
  for (const wrong of [{}, { btfId: 1, symbol: "f" }, { program: 1, symbol: "f" }, { struct: "s" }, 5, null]) {
    assertThrows(load(wrong as never), TypeError, "options.attachTo");
  }
  assertThrows(load({ btfId: -1 }), RangeError, "options.attachTo.btfId");
});

kernelTest("attachTo: a member of a struct", {}, () => {
  using program = Program.load({
    type: "struct_ops",
    instructions,
    attachTo: { struct: "tcp_congestion_ops", member: "ssthresh" },
  });
  assertEquals(program.type, "struct_ops");
  // the verifier knows which member it is: this one is never the programs'
  const error = refusal(() =>
    Program.load({ type: "struct_ops", instructions, attachTo: { struct: "tcp_congestion_ops", member: "owner" } })
  );
  assert(error.log?.includes("owner") || error.log?.includes("func"), error.log);
});

kernelTest("token: an fd that is none", { since: "6.9" }, () => {
  using program = xdp();
  const error = refusal(() => Program.load({ type: "xdp", instructions, token: program.fd }));
  assertEquals([error.code, error.reason], ["EINVAL", "invalid"]);
});
