/** What the errnos of PROG_LOAD are said to mean. */
import { assertEquals, assertThrows } from "@std/assert";
import { progLoad } from "../../../lib/sys/mod.ts";
import { BpfError, Program } from "../../../mod.ts";
import { ShownLockdown } from "../../fixture/place/shown.ts";
import { assemble, call, exit, load, set } from "../../fixture/program/assembler.ts";
import { extension, linkGuard, tracer } from "../../fixture/program/functions.ts";
import { taskIterator } from "../../fixture/program/programs.ts";
import type { Refusable } from "../../fixture/run/abilities.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { rows } from "./rows.ts";

rows(
  {},
  [
    "a program that does not end",
    () => Program.load({ type: "xdp", instructions: assemble(set(0, 0)) }),
    "PROG_LOAD EINVAL invalid",
    /the kernel refuses the program or its options: last insn is not an exit or jmp \(EINVAL\)/,
  ],
  [
    "a program that reads what it may not",
    () => Program.load({ type: "xdp", instructions: assemble(load(0, 1, 4096), exit) }),
    "PROG_LOAD EACCES invalid",
    /verifier refuses the program: invalid bpf_context access off=4096 size=8 \(EACCES\)/,
  ],
  [
    "no such function",
    () => tracer("trace_fentry", "no_such_function"),
    "btf ENOENT unsupported",
    /no function no_such_function.*check the name/,
  ],
);

// What a kernel that refuses a kind of program, most often because it patches code, says to who has every privilege for it.
const REFUSED: readonly [what: Refusable, load: () => Program, says: RegExp][] = [
  ["trampolines", () => tracer("trace_fentry", "vfs_read"), /kernel refuses attach type trace_fentry by policy/],
  ["trace_fexit", () => tracer("trace_fexit", "vfs_read"), /kernel refuses attach type trace_fexit by policy/],
  ["modify_return", () => linkGuard("modify_return", 0), /kernel refuses attach type modify_return by policy/],
  ["lsm_mac", () => linkGuard("lsm_mac", 0), /kernel refuses attach type lsm_mac by policy/],
  ["ext", () => extension(), /kernel refuses program type ext by policy/],
  ["writable iterators", () => taskIterator("x", "bpf_map_elem"), /by policy/],
];
for (const [what, load, says] of REFUSED) {
  rows({ needs: [`no ${what}`] }, [
    what,
    load,
    "PROG_LOAD EPERM policy",
    new RegExp(`${says.source}; privileges are sufficient`),
  ]);
}

kernelTest(
  "PROG_LOAD EINVAL policy: without a log, a program that reads memory on a machine that is locked down",
  { needs: ["netns", "bpffs"] },
  () => {
    const refusalOf = (...instructions: Parameters<typeof assemble>) => {
      const load = () => progLoad("kprobe", assemble(...instructions), { license: "GPL", logLevel: 0 });
      const { code, reason } = assertThrows(load, BpfError);
      return [code, reason];
    };
    // what no kernel takes stands for a helper that a lockdown takes away: both are EINVAL
    const noHelper = call(0xffff), reader = call(113);
    using lockdown = new ShownLockdown("none");
    assertEquals(refusalOf(noHelper, reader, set(0, 0), exit), ["EINVAL", "invalid"]);
    lockdown.level = "confidentiality";
    assertEquals(refusalOf(noHelper, reader, set(0, 0), exit), ["EINVAL", "policy"]);
    assertEquals(refusalOf(noHelper, set(0, 0), exit), ["EINVAL", "invalid"]);
    assertEquals(refusalOf(set(0, 0)), ["EINVAL", "invalid"]); // it does not end
  },
);
