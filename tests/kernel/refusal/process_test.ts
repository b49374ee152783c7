/** What is said to a process that lacks capabilities or has no room for another fd. */
import { assertEquals } from "@std/assert";
import type { BpfError } from "../../../mod.ts";
import { Cgroup } from "../../fixture/place/cgroup.ts";
import { withOnly, WITHOUT_CAPABILITIES } from "../../fixture/process/privileges.ts";
import { FEW_FILES, MOD, runScript } from "../../fixture/process/script.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { check, type Expected } from "./rows.ts";

/** The error that a script ends with, as its output. */
async function failing(through: readonly string[], source: string): Promise<BpfError> {
  const script = `
    import { BpfMap, Link, Program } from "${MOD}";
    import * as sys from "${new URL("../../../lib/sys/mod.ts", import.meta.url)}";
    const load = (type, value, options = {}) =>
      Program.load({ type, instructions: new Uint8Array([0xb7, 0, 0, 0, value, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), ...options });
    try {
      ${source}
    } catch (error) {
      const { message, command, code, reason, hint } = error;
      console.log(JSON.stringify({ message, command, code, reason, hint }));
    }`;
  const { output, errors } = await runScript(script, ["--allow-ffi"], { through });
  assertEquals(errors, "");
  return JSON.parse(output);
}

type ScriptRow = readonly [title: string, source: string, expected: Expected, says: RegExp];

const UNPRIVILEGED: readonly ScriptRow[] = [
  [
    "listing",
    "sys.linkGetNextId(0)",
    "LINK_GET_NEXT_ID EPERM capability",
    /CAP_SYS_ADMIN.*CAP_BPF is not enough/,
  ],
  ["opening", "Link.open(1)", "LINK_GET_FD_BY_ID EPERM capability", /CAP_SYS_ADMIN/],
  ["opening a program", "Program.open(1)", "PROG_GET_FD_BY_ID EPERM capability", /CAP_SYS_ADMIN/],
  ["a hook", 'sys.progQuery(1, "tcx_ingress")', "PROG_QUERY EPERM capability", /CAP_NET_ADMIN/],
  ["statistics", "sys.enableStats()", "ENABLE_STATS EPERM capability", /CAP_SYS_ADMIN/],
  ["a network program", 'load("xdp", 2)', "PROG_LOAD EPERM capability", /lacks CAP_BPF and CAP_NET_ADMIN/],
  ["a tracing program", 'load("kprobe", 0)', "PROG_LOAD EPERM capability", /lacks CAP_BPF and CAP_PERFMON/],
  [
    "a program for a function",
    'load("tracing", 0, { expectedAttachType: "trace_fentry", attachTo: "vfs_read" })',
    "PROG_LOAD EPERM capability",
    /lacks CAP_BPF and CAP_PERFMON/,
  ],
  [
    "a map",
    'BpfMap.create({ type: "array", keySize: 4, valueSize: 4, maxEntries: 1 })',
    "MAP_CREATE EPERM capability",
    /CAP_BPF/,
  ],
  [
    "an event of every process",
    "sys.perfEventOpen({ type: 1, config: 0n, samplePeriod: 1_000_000_000n }, -1, 0)",
    "perf_event_open EACCES capability",
    /CAP_PERFMON.*perf_event_paranoid/,
  ],
];
for (const [title, source, expected, says] of UNPRIVILEGED) {
  kernelTest(
    `${expected}: ${title}, without capabilities`,
    { needs: ["setpriv"] },
    async () => check(await failing(WITHOUT_CAPABILITIES, source), expected, says),
  );
}

kernelTest("LINK_CREATE EPERM capability: with CAP_BPF alone", { needs: ["cgroup2", "setpriv"] }, async () => {
  using cgroup = new Cgroup();
  const error = await failing(
    withOnly("bpf"),
    `const program = load("cgroup_skb", 1, { expectedAttachType: "cgroup_inet_egress" });
     Link.attach(program, { type: "cgroup", cgroup: "${cgroup.path}" });`,
  );
  check(error, "LINK_CREATE EPERM capability", /lacks CAP_NET_ADMIN/);
});

const EXHAUSTED: readonly ScriptRow[] = [
  [
    "attaching",
    `const program = load("tracing", 0, { expectedAttachType: "trace_iter", attachTo: "task" }), links = [];
     for (let i = 0; i < 100; i++) links.push(Link.attach(program, { type: "iter" }));`,
    "LINK_CREATE EMFILE limit",
    /close handles.*RLIMIT_NOFILE/,
  ],
  [
    "loading",
    'const programs = []; for (let i = 0; i < 100; i++) programs.push(load("xdp", 2));',
    "PROG_LOAD EMFILE limit",
    /close handles.*RLIMIT_NOFILE/,
  ],
  [
    "opening",
    'for (let i = 0; i < 100; i++) sys.open("/proc/self/ns/net")',
    "openat EMFILE limit",
    /close handles.*RLIMIT_NOFILE/,
  ],
];
for (const [title, source, expected, says] of EXHAUSTED) {
  kernelTest(`${expected}: ${title}`, {}, async () => {
    check(await failing(FEW_FILES, source), expected, says);
  });
}
