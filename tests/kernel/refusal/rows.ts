/** What an errno is said to mean, where the kernel really says it: how such tests are made, a row each, and what they need. */
import { assert, assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { close, open, perfEventOpen } from "../../../lib/sys/mod.ts";
import { ERRNO } from "../../../lib/uapi/errno.ts";
import { BpfError, BpfMap, type CgroupTarget, Link, Program } from "../../../mod.ts";
import { Cgroup } from "../../fixture/place/cgroup.ts";
import {
  answering,
  cgroupEgress,
  netfilter,
  rawTracepoint,
  skLookup,
  taskIterator,
  tcx,
  xdp,
} from "../../fixture/program/programs.ts";
import { kernelTest, type Requirements } from "../../fixture/run/kernel.ts";

/** Provokes an error; what it makes on the way is `own`'s to end. */
export type Provoke = (own: DisposableStack) => unknown;
/** Command, code and reason. */
export type Expected = `${string} ${string} ${string}`;
/** `says` is found in the message and the hint. */
export type Row = readonly [title: string, provoke: Provoke, expected: Expected, says: RegExp];

/** Registers a test for each row. */
export function rows(requirements: Requirements, ...table: readonly Row[]): void {
  for (const [title, provoke, expected, says] of table) {
    kernelTest(`${expected}: ${title}`, requirements, () => {
      using own = new DisposableStack();
      check(errorOf(() => provoke(own)), expected, says);
    });
  }
}

function errorOf(provoke: () => unknown): BpfError {
  let result: unknown;
  try {
    result = provoke();
  } catch (error) {
    if (error instanceof SuppressedError) throw error;
    assertInstanceOf(error, BpfError);
    return error;
  }
  if (typeof result === "number") close(result);
  if (result instanceof Link || result instanceof Program) result.close();
  throw new Error("the kernel did it");
}

/** Compares an error with what it should be; it must also say more than its errno. */
export function check(
  error: Pick<BpfError, "message" | "command" | "code" | "reason" | "hint">,
  expected: Expected,
  says: RegExp,
): void {
  const { message, command, code, reason, hint = "" } = error;
  assertEquals(`${command} ${code} ${reason}`, expected, message);
  assertMatch(`${message}; ${hint}`, says);
  assert(message.endsWith(`(${code})`), message);
  const general = Object.values(ERRNO).find(([name]) => name === code)![1];
  assert(!message.includes(`: ${general} (`), `no more than the errno: ${message}`);
}

/** Never open: the limit of open files is below. */
export const NO_FD = 999_999;
/** A number that no interface has. */
export const NO_IFINDEX = 0x7fffffff;
/** The interface of the test's own network namespace. */
export const LO = 1;
/** A file that is no object of bpf, nor anything else that a link can be attached to. */
export const DEV_NULL = "/dev/null";

/** An fd, closed with the test. */
export function fd(own: DisposableStack, fd: number): number {
  own.defer(() => close(fd));
  return fd;
}

/** An fd of a file. */
export function file(own: DisposableStack, path: string): number {
  return fd(own, open(path));
}

/** An fd of the test's network namespace. */
export const netnsFd = (own: DisposableStack): number => file(own, "/proc/self/ns/net");

/** A map of sockets, empty. */
export const sockmap = (own: DisposableStack): BpfMap =>
  own.use(BpfMap.create({ type: "sockmap", keySize: 4, valueSize: 4, maxEntries: 1 }));
/** An event that counts the time of this thread. */
export const clock = (own: DisposableStack): number =>
  fd(own, perfEventOpen({ type: 1, config: 0n, samplePeriod: 1_000_000_000n }, 0, -1));

export const eventProgram = (): Program => answering(0, { type: "perf_event" });
export const uprobes = (): Program => answering(0, { type: "kprobe", expectedAttachType: "trace_uprobe_multi" });
export const messageJudge = (): Program => answering(1, { type: "sk_msg", expectedAttachType: "sk_msg_verdict" });

/** A cgroup of the test's own. */
export const cgroupTarget = (own: DisposableStack): CgroupTarget & { cgroup: string } => ({
  type: "cgroup",
  cgroup: own.use(new Cgroup()).path,
});
const FILTER = { type: "netfilter", family: "ipv4", hook: "local_in", priority: 7 } as const;

export const iterLink = (own: DisposableStack): Link =>
  own.use(Link.attach(own.use(taskIterator("x")), { type: "iter" }));
export const lookupLink = (own: DisposableStack): Link => own.use(Link.attach(own.use(skLookup()), { type: "netns" }));
export const tcxLink = (own: DisposableStack, program: Program = own.use(tcx())): Link =>
  own.use(Link.attach(program, { type: "tcx", device: "lo", direction: "ingress" }));
export const xdpLink = (own: DisposableStack): Link =>
  own.use(Link.attach(own.use(xdp()), { type: "xdp", device: "lo", mode: "generic" }));
export const cgroupLink = (own: DisposableStack, target: CgroupTarget = cgroupTarget(own)): Link =>
  own.use(Link.attach(own.use(cgroupEgress()), target));
export const filterLink = (own: DisposableStack): Link => own.use(Link.attach(own.use(netfilter()), FILTER));
export const tracepointLink = (own: DisposableStack): Link =>
  own.use(Link.attach(own.use(rawTracepoint()), { type: "raw_tracepoint", name: "oom_score_adj_update" }));
export const eventLink = (own: DisposableStack): Link =>
  own.use(Link.attach(own.use(eventProgram()), { type: "perf_event", event: clock(own) }));
export const sockmapLink = (own: DisposableStack): Link =>
  own.use(Link.attach(own.use(messageJudge()), { type: "sockmap", map: sockmap(own) }));
