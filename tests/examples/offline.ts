/**
 * Takes a cgroup off the network while a command runs, without clang and without a file: two instructions are the whole
 * program. `deno run --allow-ffi --allow-run offline.ts /sys/fs/cgroup/build make`.
 */
import { Link, Program } from "@bpf/link";

const [cgroup, command, ...args] = Deno.args;
if (cgroup === undefined || command === undefined) throw new TypeError("usage: offline.ts CGROUP COMMAND...");

// r0 = 0; exit: no packet passes
const instructions = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);
using drop = Program.load({ type: "cgroup_skb", instructions, license: "GPL" });
using _out = Link.attach(drop, { type: "cgroup", cgroup, attachType: "cgroup_inet_egress" });
using _in = Link.attach(drop, { type: "cgroup", cgroup, attachType: "cgroup_inet_ingress" });
const { code } = await new Deno.Command(command, { args }).spawn().status;
Deno.exitCode = code;
