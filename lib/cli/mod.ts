/**
 * The command `bpflink`: every link of the machine, who holds it and in which order programs run, and what can be done
 * about it; and a compiled object as a tool. `--allow-ffi` is the only permission that it needs.
 *
 * ```sh
 * deno run --allow-ffi jsr:@bpf/link/bpflink list
 * deno run --allow-ffi jsr:@bpf/link/bpflink --help
 * ```
 *
 * **Text** is for people: columns, cut to the width of a terminal and never in a pipe, bold headings on a terminal
 * unless `NO_COLOR` is set or `TERM` is `dumb`. On one of less than 100 columns names stand for programs, and a link's
 * type and place share the column HOOK, where there is no room for all. Control characters in names are escaped.
 *
 * **`--json`** is for programs: each command prints one object on one line, {@linkcode Answer}, and `watch` and `run`
 * one for each event. 64-bit values are strings. What the kernel does not report is absent. A failure is such an object
 * on stderr.
 *
 * **The exit status** is 0 if it is done; 1 if the kernel refuses or something fails, also if you answer no; 2 if the
 * command line is wrong; 3 if there is no such link, pin or place; 4 if there is an answer that may lack something, for
 * links, hooks, or what was asked of them could not be seen. A reader that closes the pipe ends the command with 0 when
 * it writes again: `watch` at the next event.
 *
 * Root sees all. With CAP_BPF and CAP_PERFMON all links are listed, with names of programs; CAP_NET_ADMIN adds the
 * order of programs. Without any, what processes and pins show to the caller is listed.
 *
 * ## Guide: find and remove an orphan, or whoever is behind EBUSY
 *
 * For a program that still runs though its agent is gone, and for `holds the interface in generic mode (EBUSY)`.
 * Install it once with `deno install --global --allow-ffi jsr:@bpf/link/bpflink`; then, as root:
 *
 * ```sh
 * bpflink list --device eth0 # all links at the interface: id, program, and who holds each
 * bpflink hook xdp eth0 # what runs there, in order, also what is no link
 * bpflink show 12 # all that is known of link 12, with the units, containers and scripts that hold it
 * bpflink detach 12 --yes # ends it by force, whoever holds it
 * bpflink unpin /sys/fs/bpf/old_guard # removes what the agent left behind
 * ```
 *
 * `HELD BY` says what kind it is: a path alone is a pin that nobody runs for, an orphan; a unit, a container or a
 * process is alive, so ask its owner first. `--cgroup PATH`, `--type TYPE` and `--pid PID` find links at other places,
 * `bpflink tree` shows all. In TypeScript, links that only pins hold:
 *
 * ```ts
 * import { Link, Names } from "@bpf/link";
 * import { holderName } from "@bpf/link/cli";
 *
 * const links = Link.list(), held = Link.holdersOf(links.map(({ id }) => id)), names = new Names();
 * for (const info of links) {
 *   const { holders, partial } = held.get(info.id) ?? { holders: [], partial: true };
 *   const isOrphan = !partial && holders.every(({ kind }) => kind === "pin");
 *   console.log(info.id, info.type, names.place(info), holders.map(holderName).join(" "), isOrphan ? "orphan" : "");
 * }
 * ```
 *
 * What can go wrong:
 *
 * - `detach` is refused (EOPNOTSUPP): links of types such as tracing and iter end with their last holder. End the
 *   process, and `unpin` each pin that `show` lists.
 * - `hook` shows a program without a link (`-`): it was attached by other means, and is removed by them, as
 *   `ip link set dev eth0 xdpgeneric off`.
 * - A holder is not seen from here, such as a pin in another mount namespace: `HELD BY` ends with `?`. `detach` works
 *   all the same.
 * - It comes back: somebody watches it. `bpflink watch` shows when, `show` who holds the new one.
 *
 * @module
 */
import { main } from "./main.ts";

export type { LinkHolder } from "../holders.ts";
export type { Source } from "../links.ts";
export type { PublishedEvent } from "../otel/mod.ts";
export type { ProbeAnswer, TargetProbe } from "../probe.ts";
export { type Holder, holderName } from "./holder.ts";
export type { Answer, EntryRecord, HookRecord, LinkRecord, LoadedRecord, PinRecord } from "./schema.ts";
export { main } from "./main.ts";

if (import.meta.main) {
  main(Deno.args).then(async (status) => {
    Deno.exitCode = status;
    // While Deno 2.9 exports telemetry its exit() may wait for good, but not a process that ends by itself.
    if (Deno.args[0] === "agent") return;
    // one turn of the event loop, in which Deno keeps the compiled code for the next start, if this was the first
    await Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1).value;
    Deno.exit();
  });
}
