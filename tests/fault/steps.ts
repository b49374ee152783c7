/** The operations that are made to fail, one by one: small uses of the package, each with a result that can be compared. */
import { crc32 } from "node:zlib";
import { fileOf, functionOffsets } from "../../lib/kind/target.ts";
import { btfFind } from "../../lib/ffi/btf.ts";
import { close, linkCreate } from "../../lib/sys/mod.ts";
import { BpfMap, Hook, Link, type LinkInfo, type LinkListing, makeCgroup, Names, probe, Program } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { executable } from "../fixture/place/elf.ts";
import { NetkitPair } from "../fixture/place/netkit.ts";
import { CALLS_WORK, Victim } from "../fixture/place/victim.ts";
import { tracer } from "../fixture/program/functions.ts";
import { AT_EXEC } from "../fixture/program/kernel_functions.ts";
import {
  answering,
  cgroupEgress,
  netfilter,
  rawTracepoint,
  skLookup,
  skMsg,
  taskIterator,
  tcx,
  xdp,
} from "../fixture/program/programs.ts";
import { implementation } from "../fixture/program/struct_ops.ts";
import { isOlder, type Need, whyMissing } from "../fixture/run/kernel.ts";
import { sysSteps } from "./sys_steps.ts";

/** An operation. */
export interface Step {
  /** Does it, leaves nothing behind, and returns the same each time: what differs (ids, fds) is left out. */
  run(): unknown;
  /** Whether another result than the usual one is right where a call fails with `errno`. */
  readonly accepts?: (result: unknown, usual: unknown, errno: string) => boolean;
  /** What a kernel may lack: it is left out then. */
  readonly needs?: readonly Need[];
  /** The first kernel that can do it. */
  readonly since?: string;
}

type Listed = { readonly found: unknown };
type Watched = { readonly kinds: unknown };

/** What is answered in one way or is not known. */
type Unknowable = readonly (readonly [name: string, answers: readonly string[]])[];

const NETNS = { type: "netns" } as const;
/** How long to wait for a lock. */
const SOON = { waitMs: 50 } as const;
const LO_INGRESS = { type: "tcx", device: "lo", direction: "ingress" } as const;
const TRACEPOINT = "oom_score_adj_update";
const SKIPPED = new Set([
  "id",
  "programId",
  "linkId",
  "loadedAt",
  "missed",
  "runCount",
  "cgroupId",
  "netnsIno",
  "eventType",
  "path",
]);

/** Something without what differs from run to run. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(
      value,
      (key, inner) => SKIPPED.has(key) ? undefined : typeof inner === "bigint" ? `${inner}n` : inner,
    ) ?? "null",
  );
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** Waits for both; throws what the first or the second threw. */
async function both(...promises: readonly Promise<unknown>[]): Promise<true> {
  for (const settled of await Promise.allSettled(promises)) if (settled.status === "rejected") throw settled.reason;
  return true;
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A listing that says `partial` may have left something out. */
const orPartial = (result: unknown): boolean => (result as { partial?: boolean }).partial === true;

/** What was there a moment ago may be gone, or not settled yet; a listing goes on without it. */
const isGone = (errno: string): boolean => ["ENOENT", "ESRCH", "EAGAIN"].includes(errno);

/** An answer may not be a definite "no" for one of these. */
const PASSING = ["EAGAIN", "EINTR", "EIO", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ENOSPC"];

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Makes all operations; what they need lasts as long as the scope. Pins are made in `pins`. */
export class Steps implements Disposable {
  readonly #stack = new DisposableStack();
  readonly all: Readonly<Record<string, Step>>;

  constructor(pins: string) {
    const own = this.#stack;
    const cgroup = own.use(new Cgroup()).path, victim = own.use(new Victim()).path;
    const sk = own.use(skLookup()), otherSk = own.use(skLookup(0));
    const egress = own.use(cgroupEgress()), otherEgress = own.use(cgroupEgress(0));
    const cls = own.use(tcx()), otherCls = own.use(tcx(2));
    const packets = own.use(xdp()), otherPackets = own.use(xdp(1));
    const filter = own.use(netfilter()), raw = own.use(rawTracepoint()), otherRaw = own.use(rawTracepoint());
    const typed = own.use(tracer("trace_raw_tp", TRACEPOINT)), tasks = own.use(taskIterator("p"));
    const tracepoint = own.use(answering(0, { type: "tracepoint" })),
      probing = own.use(answering(0, { type: "kprobe" }));
    const sampling = own.use(answering(0, { type: "perf_event" }));
    const message = own.use(skMsg()), otherMessage = own.use(skMsg());
    const functions = own.use(answering(0, { type: "kprobe", expectedAttachType: "trace_kprobe_multi" }));
    const sockets = own.use(BpfMap.create({ type: "sockmap", keySize: 4, valueSize: 4, maxEntries: 1 }));
    const places = own.use(answering(0, { type: "kprobe", expectedAttachType: "trace_uprobe_multi" }));
    const { bytes } = executable({ functions: CALLS_WORK }), debugLink = { name: "its.debug", checksum: crc32(bytes) };
    const stripped = own.use(new Victim(CALLS_WORK, { table: "none", debugLink }));
    Deno.writeFileSync(`${stripped.directory}/its.debug`, bytes);
    const CGROUP = { type: "cgroup", cgroup } as const;
    const IN_ANOTHER = { netns: "/proc/self/ns/net" } as const;
    let count = 0;
    const pin = () => `${pins}/pin${count++}`;
    /** Pins something; where that fails, nothing may be there. */
    const pinned = (handle: { pin(path: string): void }): string => {
      const path = pin();
      try {
        handle.pin(path);
      } catch (error) {
        if (exists(path)) throw new Error("A pin that was refused is there", { cause: error });
        throw error;
      }
      return path;
    };

    const listed = (options: Parameters<typeof Link.infos>[0]): Step => ({
      async run(): Promise<unknown> {
        using link = Link.attach(sk, NETNS);
        const { id } = link, listing: LinkListing = Link.infos({ ...options, types: ["netns"] });
        const found: LinkInfo[] = await Array.fromAsync(listing);
        return { found: plain(found.filter((info) => info.id === id)), partial: listing.partial };
      },
      accepts: (result, usual, errno) =>
        orPartial(result) || isGone(errno) || same((result as Listed).found, (usual as Listed).found),
    });
    const watched = (options: Parameters<typeof Link.watch>[0]): Step => ({
      async run(): Promise<unknown> {
        const kinds: string[] = [], patience = AbortSignal.timeout(3000);
        await using watcher = Link.watch({ ...options, intervalMs: 1, types: ["netns"], signal: patience });
        using link = Link.attach(sk, NETNS);
        const { id } = link;
        try {
          for await (const event of watcher) {
            if (("info" in event ? event.info : event.after).id !== id) continue;
            kinds.push(event.kind);
            if (kinds.length === 1) link.detach();
            else break;
          }
        } catch (error) {
          if (error !== patience.reason) throw error;
          kinds.push("late");
        }
        return { kinds: kinds.map((kind) => kind === "present" ? "added" : kind), partial: watcher.partial };
      },
      accepts: (result, usual, errno) => isGone(errno) || same((result as Watched).kinds, (usual as Watched).kinds),
    });

    const all: Record<string, Step> = {
      "Program: load, info, pin, open": {
        run: () => {
          using program = skLookup();
          const { type, name } = program.info(), path = pinned(program);
          using fromPin = Program.openPinned(path);
          program.unpin();
          using opened = Program.open(program.id);
          using same = Program.fromFd(opened.fd);
          return [type, name, fromPin.type, opened.type, same.tag];
        },
      },
      "Program.run": {
        run: () => {
          const { returnValue, data } = packets.run({ data: new Uint8Array(64) });
          return [returnValue, data.length];
        },
      },
      "Program.infos": {
        run: async () => {
          const found: unknown[] = [];
          for await (const info of Program.infos({ types: ["sk_lookup"] })) {
            if (info.id === sk.id) found.push(plain(info));
          }
          return found;
        },
        accepts: (_result, _usual, errno) => isGone(errno),
      },
      "Program: load for a function": {
        run: () => {
          using program = tracer("trace_raw_tp", TRACEPOINT);
          using link = Link.attach(program, { type: "tp_btf" });
          return plain(link.info());
        },
      },
      "Link netns: attach, info, update, detach": {
        run: () => {
          using link = Link.attach(sk, NETNS);
          const info = plain(link.info());
          link.update(otherSk, { expected: sk });
          const attached = link.attached();
          link.detach();
          return [info, attached, link.attached()];
        },
      },
      "Link netns: the same, async": {
        run: async () => {
          await using link = await Link.attachAsync(sk, NETNS);
          const attached = link.attached();
          await link.detachAsync();
          return [attached, link.attached()];
        },
      },
      "Link cgroup": {
        run: () => {
          using link = Link.attach(egress, CGROUP);
          using second = Link.attach(otherEgress, CGROUP);
          link.update(otherEgress);
          return plain([link.info(), second.info()]);
        },
      },
      makeCgroup: {
        run: () => {
          const path = `${cgroup}/made`;
          try {
            using made = makeCgroup(path);
            using link = Link.attach(egress, { type: "cgroup", cgroup: path });
            return link.info().cgroupId === made.id;
          } finally {
            if (isThere(path)) Deno.removeSync(path); // removing it is what failed
          }
        },
      },
      "Link tcx, Hook.attach": {
        run: () => {
          using link = Link.attach(cls, LO_INGRESS);
          const hook = Hook.query(LO_INGRESS);
          using second = hook.attach(otherCls, () => "first");
          link.update(cls);
          return plain([link.info(), hook.entries.length, second.info(), hook.refresh().entries.length]);
        },
      },
      "Link tcx in a namespace, async": {
        run: async () => {
          await using link = await Link.attachAsync(cls, { ...LO_INGRESS, ...IN_ANOTHER });
          return plain(link.info());
        },
      },
      "Link xdp, Hook.query": {
        run: () => {
          using link = Link.attach(packets, { type: "xdp", device: "lo", mode: "generic" });
          const hook = Hook.query({ type: "xdp", device: "lo" });
          link.update(otherPackets);
          return plain([link.info(), hook.entries]);
        },
      },
      "Link netfilter": {
        run: () => {
          using link = Link.attach(filter, {
            type: "netfilter",
            family: "ipv4",
            hook: "local_in",
            priority: 7,
            ...IN_ANOTHER,
          });
          return plain(link.info());
        },
        accepts: (result) => !("defragment" in (result as object)), // where the kernel's age cannot be read
      },
      "Link raw_tracepoint": {
        run: async () => {
          await using link = await Link.attachAsync(raw, { type: "raw_tracepoint", name: TRACEPOINT, cookie: 5n });
          return plain(link.info());
        },
      },
      "Link tp_btf": {
        run: () => {
          using link = Link.attach(typed, { type: "tp_btf", cookie: 7n });
          return plain(link.info());
        },
      },
      "Link tracepoint": {
        run: () => {
          using link = Link.attach(tracepoint, { type: "tracepoint", category: "syscalls", name: "sys_enter_acct" });
          return plain(link.info());
        },
      },
      "Link uprobe": {
        run: () => {
          using link = Link.attach(probing, { type: "uprobe", path: victim, symbol: "work", cookie: 3n });
          return plain(link.info());
        },
      },
      "Link uprobe_multi": {
        run: () => {
          using link = Link.attach(places, {
            type: "uprobe_multi",
            path: victim,
            symbols: ["_start", "work"],
            cookies: [1n, 2n],
          });
          return plain(link.info());
        },
      },
      "Link perf_event": {
        run: () => {
          const event = { type: "software", config: "cpu_clock", cpu: 0, samplePeriod: 1_000_000_000n } as const;
          using link = Link.attach(sampling, { type: "perf_event", event });
          return plain(link.info());
        },
      },
      // what a uprobe is attached to is found before anything is attached, which takes long
      "target.symbol of a stripped file": {
        run: () => functionOffsets(stripped.path, { names: ["work"] }),
      },
      "target.path of a library": {
        run: () => [undefined, Deno.pid].map((pid) => fileOf("libc.so.6", pid)),
        // by way of the process, where it cannot be seen whether the path leads to the same file
        accepts: (result) => (result as string[]).every((path) => path.endsWith("/libc.so.6")),
      },
      "Link sockmap, Hook.query": {
        run: () => {
          const target = { type: "sockmap", map: sockets, attachType: "sk_msg_verdict" } as const;
          using link = Link.attach(message, target);
          const hook = Hook.query(target), info = plain(link.info());
          link.update(otherMessage, { expected: message });
          link.detach();
          return [hook.entries.length, hook.entries[0]?.linkId === link.id, info, link.attached()];
        },
        // without the list of links a program is still there, its link is not known
        accepts: (result, usual) => same((result as unknown[]).with(1, true), usual),
      },
      "Link netkit, async, Hook.query": {
        needs: ["netkit"],
        run: async () => {
          using pair = new NetkitPair();
          const target = { type: "netkit", device: pair.primary, peer: true } as const;
          await using link = await Link.attachAsync(cls, target);
          const hook = Hook.query(target);
          link.update(otherCls);
          await link.detachAsync();
          return [link.type, hook.entries.length, link.attached()];
        },
      },
      "Link kprobe": {
        needs: ["kprobe"],
        run: () => {
          using link = Link.attach(probing, { type: "kprobe", symbol: AT_EXEC, cookie: 3n });
          return plain(link.info());
        },
      },
      "Link kprobe_multi": {
        needs: ["fprobe"],
        run: () => {
          using link = Link.attach(functions, { type: "kprobe_multi", symbols: [AT_EXEC], cookies: [1n] });
          using second = Link.attach(functions, { type: "kprobe_multi", pattern: AT_EXEC });
          return plain([link.info(), second.info()]);
        },
      },
      "Link tracing": {
        needs: ["trampolines"],
        run: () => {
          using program = tracer("trace_fentry", "security_inode_link");
          using link = Link.attach(program, { type: "tracing" });
          return plain(link.info());
        },
      },
      "Link tracing_multi": {
        needs: ["trampolines"],
        since: "7.2",
        run: () => {
          using program = answering(0, { type: "tracing", expectedAttachType: "trace_fentry_multi" });
          const ids = [btfFind("function", "security_inode_link")!];
          using own = new DisposableStack();
          const fd = linkCreate(program.fd, 0, "trace_fentry_multi", { tracingMulti: { ids } });
          own.defer(() => close(fd));
          using link = Link.fromFd(fd);
          return plain(link.info());
        },
      },
      "Link struct_ops": {
        needs: ["vm", "trampolines"], // what it registers is the machine's
        run: () => {
          using map = implementation(), other = implementation();
          using link = Link.attach(map, { type: "struct_ops" });
          link.update(other);
          const info = link.info();
          return [info.type, info.type === "struct_ops" && info.mapId === other.id];
        },
      },
      "Link iter: of a cgroup": {
        run: () => {
          using program = taskIterator("c", "cgroup");
          using link = Link.attach(program, { type: "iter", cgroup: { cgroup, order: "self_only" } });
          return [plain(link.info()), link.read().length];
        },
      },
      "Link iter: read, lines": {
        run: async () => {
          using link = Link.attach(tasks, { type: "iter" });
          const bytes = link.read();
          let lines = 0;
          for await (const line of link.lines()) {
            lines += line.length > 0 ? 1 : 0;
            break;
          }
          return [plain(link.info()), bytes.length > 0, lines];
        },
      },
      "Link.infos by iterator": listed({ source: "iterator" }),
      "Link.infos by system call": listed({ source: "syscall" }),
      "Link.infos by /proc": listed({ source: "proc" }),
      "Link.infos": listed({}),
      "Link.list": {
        run: () => {
          using link = Link.attach(sk, NETNS);
          const { id } = link, list = Link.list({ types: ["netns"] });
          return { found: plain(list.filter((info) => info.id === id)), partial: list.partial };
        },
        accepts: (result, usual, errno) =>
          orPartial(result) || isGone(errno) || same((result as Listed).found, (usual as Listed).found),
      },
      "Link.all": {
        run: async () => {
          using link = Link.attach(sk, NETNS);
          const { id } = link;
          let found = 0;
          for await (using other of Link.all({ types: ["netns"] })) found += other.id === id ? 1 : 0;
          return found;
        },
        accepts: (_result, _usual, errno) => isGone(errno),
      },
      "Link.holdersOf, Link.holdersOfAsync": {
        run: async () => {
          using link = Link.attach(sk, NETNS);
          const found = Link.holdersOf([link.id]).get(link.id);
          const later = (await Link.holdersOfAsync([link.id])).get(link.id);
          const partial = found?.partial || later?.partial;
          return { kinds: [found, later].map((it) => it?.holders.map(({ kind }) => kind)), partial };
        },
        accepts: (result, _usual, errno) => orPartial(result) || isGone(errno),
      },
      "Link: toJSON, names": {
        run: () => {
          using link = Link.attach(egress, CGROUP);
          // as of a link, whose making would wait for all processors
          const other = { type: "xdp", id: 1, programId: egress.id, attached: true, ifindex: 1 } as const;
          const names = new Names(), places = [names.place(link.info()) !== "", names.place(other)];
          return [plain(link.toJSON()), places, names.program(egress.id)];
        },
        // a name that cannot be had is replaced by a number, or absent
        accepts: (result, usual) => same((result as unknown[])[0], (usual as unknown[])[0]),
      },
      "Link.watch by iterator": watched({ source: "iterator" }),
      "Link.watch by system call": watched({ source: "syscall" }),
      "Link.watch": watched({}),
      "Link.holders": {
        run: () => {
          using link = Link.attach(sk, NETNS);
          using second = Link.open(link.id);
          pinned(link);
          try {
            const { holders, partial } = second.holders();
            return { kinds: holders.map(({ kind }) => kind).sort(), partial };
          } finally {
            link.unpin();
          }
        },
        accepts: (result, _usual, errno) => orPartial(result) || isGone(errno), // as a process may be
      },
      "Link.holdersAsync": {
        run: async () => {
          using link = Link.attach(sk, NETNS);
          using second = Link.open(link.id);
          const { holders, partial } = await second.holdersAsync();
          return { kinds: holders.map(({ kind }) => kind).sort(), partial };
        },
        accepts: (result, _usual, errno) => orPartial(result) || isGone(errno),
      },
      "Link: pin, openPinned, unpin, fromFd": {
        run: () => {
          using link = Link.attach(sk, NETNS);
          const path = pinned(link);
          using opened = Link.openPinned(path);
          const isKnown = opened.pinnedPath === path;
          link.unpin();
          using same = Link.fromFd(opened.fd);
          return [isKnown, plain(same.info()), link.onClose];
        },
      },
      "Link: pin in a directory that is to be made": {
        run: () => {
          using link = Link.attach(sk, NETNS);
          const directory = pin();
          link.pin(`${directory}/a/link`, { makeDirectories: true });
          link.unpin();
          Deno.removeSync(directory, { recursive: true });
          return link.onClose;
        },
      },
      "Link: pinned twice, ended with its pins": {
        run: () => {
          using link = Link.attach(sk, NETNS, { onClose: "detach" });
          pinned(link);
          pinned(link);
          return plain(link.info());
        },
      },
      "Link.ensurePinned: make, take over, replace": {
        run: () => {
          const path = pin(), outcomes: string[] = [];
          for (const program of [sk, otherSk, sk]) {
            using ensured = Link.ensurePinned(path, program, NETNS, SOON);
            outcomes.push(ensured.outcome);
            if (outcomes.length > 1) ensured.link.detach();
            if (outcomes.length === 3) ensured.link.unpin();
          }
          return outcomes;
        },
        // then a new link takes the place
        accepts: (_result, _usual, errno) => errno === "ENOLINK" || errno === "EOPNOTSUPP",
      },
      "Link.ensurePinnedAsync": {
        run: async () => {
          const path = pin(), outcomes: string[] = [];
          for (const program of [sk, otherSk]) {
            await using ensured = await Link.ensurePinnedAsync(path, program, NETNS, SOON);
            outcomes.push(ensured.outcome);
            if (outcomes.length === 2) ensured.link.unpin();
          }
          return outcomes;
        },
        accepts: (_result, _usual, errno) => errno === "ENOLINK" || errno === "EOPNOTSUPP",
      },
      "Link.ensurePinned: a type without update": {
        run: () => {
          const path = pin(), outcomes: string[] = [];
          for (const program of [raw, otherRaw]) {
            using ensured = Link.ensurePinned(path, program, { type: "raw_tracepoint", name: TRACEPOINT }, SOON);
            outcomes.push(ensured.outcome);
            if (outcomes.length === 2) ensured.link.unpin();
          }
          return outcomes;
        },
      },
      "Hook.query cgroup": {
        run: () => {
          using link = Link.attach(egress, CGROUP);
          const hook = Hook.query({ ...CGROUP, attachType: "cgroup_inet_egress" });
          return plain([link.type, hook.entries, hook.effective]);
        },
      },
      "Hook.query netns": {
        run: () => {
          using link = Link.attach(sk, NETNS);
          const hook = Hook.query({ type: "netns", attachType: "sk_lookup" });
          return [hook.entries.length, hook.entries[0]?.linkId === link.id];
        },
        // without the list of links a program is still there, its link is not known
        accepts: (result) => same(result, [1, false]),
      },
      "BpfMap hash": {
        run: () => {
          using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16, name: "some" });
          const key = (i: number) => new Uint8Array([i, 0, 0, 0]);
          for (let i = 0; i < 5; i++) map.update(key(i), new Uint8Array(8).fill(i));
          const entries = [...map.entries()].length, keys = [...map.keys()].length, value = map.lookup(key(1));
          map.delete(key(1));
          using fromPin = BpfMap.openPinned(pinned(map));
          map.unpin();
          using opened = BpfMap.open(map.id);
          return [entries, keys, [...value!], fromPin.name, opened.type, [...opened.entries()].length];
        },
      },
      "BpfMap: many elements": {
        run: () => {
          using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 });
          const keys = Array.from({ length: 5 }, (_, i) => new Uint32Array([i]));
          map.updateAll(keys.map((key) => [key, new BigUint64Array([7n])]));
          return [[...map.entries()].length, map.deleteAll(keys)];
        },
      },
      "BpfMap: info, freeze, infos": {
        run: async () => {
          using map = BpfMap.create({ type: "array", valueSize: 8, maxEntries: 2, name: "some" });
          map.freeze();
          const { type, valueSize } = map.info();
          let found = 0;
          for await (const { id } of BpfMap.infos({ types: ["array"] })) found += id === map.id ? 1 : 0;
          return [type, valueSize, found];
        },
        accepts: (_result, _usual, errno) => isGone(errno),
      },
      "BpfMap.ensurePinned": {
        run: () => {
          const path = pin(), options = { type: "array", valueSize: 8, maxEntries: 2 } as const;
          using made = BpfMap.ensurePinned(path, options, SOON);
          using found = BpfMap.ensurePinned(path, options, SOON);
          const isSame = made.id === found.id;
          found.unpin();
          return isSame;
        },
      },
      "BpfMap: fromFd, toJSON, release": {
        run: () => {
          using map = BpfMap.create({ type: "array", valueSize: 8, maxEntries: 2, name: "some" });
          const { type, frozen } = map.toJSON();
          using again = BpfMap.fromFd(map.fd);
          const fd = again.release();
          close(fd);
          return [type, frozen, again.closed];
        },
        // fdinfo says whether it is frozen, and may not be readable
        accepts: (result, usual) => same((result as unknown[]).with(1, false), usual),
      },
      "BpfMap percpu_array": {
        run: () => {
          using map = BpfMap.create({ type: "percpu_array", valueSize: 8, maxEntries: 2 });
          const [[, value] = []] = map.entries();
          map.update(new Uint8Array(4), value!);
          return [[...map.entries()].length, map.lookup(new Uint8Array(4))?.length === value!.length];
        },
      },
      "BpfMap queue": {
        run: () => {
          using map = BpfMap.create({ type: "queue", valueSize: 8, maxEntries: 2 });
          const none = new Uint8Array();
          map.update(none, new Uint8Array(8));
          return [map.lookup(none)?.length, map.delete(none), map.delete(none)];
        },
      },
      "BpfMap.records": {
        run: async () => {
          using map = BpfMap.create({ type: "ringbuf", maxEntries: 4096 });
          const abort = new AbortController(), records = map.records({ signal: abort.signal });
          const waiting = records.next();
          setTimeout(() => abort.abort(), 2);
          try {
            await waiting;
          } catch (error) {
            if (error !== abort.signal.reason) throw error;
          } finally {
            await records.return!();
          }
          return "aborted";
        },
      },
      "BpfMap.records of CPUs": {
        run: async () => {
          using map = BpfMap.create({ type: "perf_event_array", keySize: 4, valueSize: 4, maxEntries: 2 });
          const records = map.records({ bytesPerCpu: 4096 }), waiting = records.next();
          setTimeout(() => records.close(), 2);
          return [(await waiting).done, (await records.return()).done];
        },
      },
      "Link.attachAll": {
        run: () => {
          using group = Link.attachAll([[sk, NETNS], [egress, CGROUP]]);
          return group.links.length;
        },
      },
      "Link.attachAllAsync": {
        run: async () => {
          await using group = await Link.attachAllAsync([[sk, NETNS], [egress, CGROUP]]);
          return group.links.length;
        },
      },
      "Link: ended by a signal": {
        run: () => {
          const abort = new AbortController();
          const link = Link.attach(sk, NETNS, { signal: abort.signal });
          abort.abort();
          const { closed } = link;
          link.close();
          return closed;
        },
      },
      "Link.untilGone": {
        run: async () => {
          using link = Link.attach(sk, NETNS);
          const waiting = Link.untilGone(link.id, { intervalMs: 1 });
          return await both(new Promise((resolve) => setTimeout(resolve)).then(() => link.close()), waiting);
        },
      },
      "Link.untilDetached": {
        run: async () => {
          using link = Link.attach(sk, NETNS);
          const waiting = link.untilDetached({ intervalMs: 1, signal: AbortSignal.timeout(2000) });
          return await both(new Promise((resolve) => setTimeout(resolve)).then(() => link.detach()), waiting);
        },
      },
      "probe": {
        run: (): Unknowable =>
          Object.entries(probe()).map(([name, row]) => [name, Object.values(row).map(({ answer }) => answer)] as const),
        accepts: (result, usual, errno) =>
          !PASSING.includes(errno) ||
          (result as Unknowable).every(([, answers], i) =>
            answers.every((answer, j) => answer === "unknown" || answer === (usual as Unknowable)[i]![1][j])
          ),
      },
      ...sysSteps({ lookup: sk, egress, cgroup, raw, tasks, tracepoint: TRACEPOINT, pin }),
    };
    const isPossible = ({ needs = [], since = "6.10" }: Step) =>
      !isOlder(Deno.osRelease(), since) && whyMissing(needs) === undefined;
    this.all = Object.fromEntries(Object.entries(all).filter(([, step]) => isPossible(step)));
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}
