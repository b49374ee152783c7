/** What the errnos of PROG_LOAD are said to mean. */
import { Program } from "../../../mod.ts";
import { assemble, exit, load, set } from "../../fixture/program/assembler.ts";
import { extension, linkGuard, tracer } from "../../fixture/program/functions.ts";
import { rows } from "./rows.ts";

rows(
  {},
  [
    "a program that does not end",
    () => Program.load({ type: "xdp", instructions: assemble(set(0, 0)) }),
    "PROG_LOAD EINVAL invalid",
    /log says why/,
  ],
  [
    "a program that reads what it may not",
    () => Program.load({ type: "xdp", instructions: assemble(load(0, 1, 4096), exit) }),
    "PROG_LOAD EACCES invalid",
    /verifier refuses/,
  ],
  [
    "no such function",
    () => tracer("trace_fentry", "no_such_function"),
    "btf ENOENT unsupported",
    /no function no_such_function.*check the name/,
  ],
);

// What a kernel that refuses to have its code patched says to who has every privilege for it.
rows(
  { needs: ["policy"] },
  [
    "trace_fentry",
    () => tracer("trace_fentry", "vfs_read"),
    "PROG_LOAD EPERM policy",
    /kernel refuses attach type trace_fentry by policy; privileges are sufficient/,
  ],
  [
    "trace_fexit",
    () => tracer("trace_fexit", "vfs_read"),
    "PROG_LOAD EPERM policy",
    /kernel refuses attach type trace_fexit by policy; privileges are sufficient/,
  ],
  [
    "modify_return",
    () => linkGuard("modify_return", 0),
    "PROG_LOAD EPERM policy",
    /kernel refuses attach type modify_return by policy; privileges are sufficient/,
  ],
  [
    "lsm_mac",
    () => linkGuard("lsm_mac", 0),
    "PROG_LOAD EPERM policy",
    /kernel refuses attach type lsm_mac by policy; privileges are sufficient/,
  ],
  [
    "ext",
    () => extension(),
    "PROG_LOAD EPERM policy",
    /kernel refuses program type ext by policy; privileges are sufficient/,
  ],
);
