/** A part of the scene: holds links to functions until its input ends. `tracer.ts PINS` */
import { BpfError, Link } from "../../mod.ts";
import { answering, rawTracepoint, skLookup } from "../fixture/program/programs.ts";

const [pins] = Deno.args as [string];
const probe = (name: string) => answering(0, { type: "kprobe", name });
const many = (name: string, expectedAttachType: "trace_kprobe_multi" | "trace_uprobe_multi") =>
  answering(0, { type: "kprobe", name, expectedAttachType });

const EXEC = { type: "tracepoint", category: "sched", name: "sched_process_exec" } as const;
const FUNCTIONS = ["do_sys_openat2", "vfs_read", "vfs_write"], RESOLVER = ["getaddrinfo", "freeaddrinfo"];
const path = Deno.readTextFileSync("/proc/self/maps").match(/\/\S*\/libc\.so\.6/)![0];
const attempts: (() => Link)[] = [
  () => Link.attach(rawTracepoint(), { type: "raw_tracepoint", name: "sched_switch" }),
  () => Link.attach(answering(0, { type: "tracepoint", name: "on_exec" }), EXEC),
  () => Link.attach(probe("unlinks"), { type: "kprobe", symbol: "do_unlinkat" }),
  () => Link.attach(many("opens", "trace_kprobe_multi"), { type: "kprobe_multi", symbols: FUNCTIONS }),
  () => Link.attach(probe("allocs"), { type: "uprobe", path, symbol: "malloc" }),
  () => Link.attach(many("resolver", "trace_uprobe_multi"), { type: "uprobe_multi", path, symbols: RESOLVER }),
  () => Link.attach(skLookup(), { type: "netns" }),
];
const links = attempts.flatMap((attach) => {
  try {
    return [attach()];
  } catch (error) {
    if (error instanceof BpfError && ["unsupported", "policy"].includes(error.reason)) return []; // not on this kernel
    throw error;
  }
});
links[0]!.pin(`${pins}/switches`);

console.log(links.map(({ id }) => id).join(" "));
await Deno.stdin.read(new Uint8Array(1));
