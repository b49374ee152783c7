/**
 * From the name of a program's section to what the program is attached to: the table `section_defs` of libbpf 1.7 and the
 * rules of its `attach_*` functions, as targets of `Link.attach`.
 */
import { checkKeys, checkOneOf, keysOf, printable } from "../check.ts";
import type { AttachOptions } from "../kind/attach.ts";
import { type AttachTarget, KINDS } from "../kind/mod.ts";
import type { AttachTypeName, ProgramTypeName } from "../uapi/constants.ts";
import type { TypedMap } from "./typed_map.ts";

/**
 * A USDT probe: a place that the author of an executable or a library marked. libbpf finds its instructions and
 * arguments, and attaches a program of `SEC("usdt")` to all of them.
 *
 * Takes CAP_SYS_ADMIN before Linux 6.6, then what loading the program took; and permission to read the file.
 */
export interface UsdtTarget {
  /** The kind of target. */
  type: "usdt";
  /**
   * The executable or library. A name without a slash that has `.so` in it, as `libc.so.6`, is looked up as loaders do:
   * with `pid` among what that process has loaded, else in /etc/ld.so.cache and the standard directories.
   */
  path: string | URL;
  /** What provides the probe, as `readelf -n` has it: `libc`. */
  provider: string;
  /** The name of the probe: `setjmp`. */
  name: string;
  /** The process; every process, also those yet to come, if absent. */
  pid?: number | undefined;
  /** What the program reads with `bpf_usdt_cookie`. */
  cookie?: bigint | undefined;
}

/**
 * Fields of a target, each of which may be absent, and of {@linkcode AttachOptions}. A map may also be a
 * {@linkcode TypedMap}, or the name of a map of the same object.
 *
 * @typeParam T The target.
 */
export type OverridesOf<T> = T extends unknown
  ? { [K in keyof T]?: (K extends "map" ? T[K] | TypedMap | string : T[K]) | undefined } & AttachOptions
  : never;

/**
 * What the name of a section leaves open, or what is to be otherwise: fields of the target and of
 * {@linkcode AttachOptions}. A map of the same object may be given by its name. With another `type` than the section's,
 * the target is what is given here alone.
 */
export type AttachOverrides = OverridesOf<AttachTarget | UsdtTarget>;

/** {@linkcode AttachOverrides} that say that a program of `SEC("usdt")` is meant. */
export type UsdtOverrides = OverridesOf<UsdtTarget> & { provider: string };

/** What a program of an object can be attached to. */
export type ObjectTarget = AttachTarget | UsdtTarget;

/** A program by its name and its section; see {@linkcode ObjectProgram}. */
export interface SectionProgram {
  /** Its name: that of the function in C. */
  readonly name: string;
  /** The section that it is in, which says what it is for. */
  readonly section: string;
}

/** A target of which fields may be missing. */
type Draft = { readonly type: ObjectTarget["type"] } & { readonly [field: string]: unknown };

/** What a section says: what follows the slash becomes fields of a target; a text says what to do instead of a link. */
type Rule = string | ((rest: string | undefined, attachType: AttachTypeName | undefined) => Draft | Malformed);

/** The name of a section that libbpf does not understand, and how it should be. */
class Malformed {
  constructor(readonly form: string) {}
}

/** The name; a `+` takes what follows a slash, or nothing. */
type Row = readonly [name: string, type: ProgramTypeName, attachType: AttachTypeName | undefined, rule: Rule];

// ---- what follows the slash

/** sscanf's `%li`: decimal, hexadecimal or octal. */
const OFFSET = "0[xX][0-9a-fA-F]+|[0-9]+";

function numberOf(digits: string): number {
  return /^0\d/.test(digits) ? parseInt(digits, 8) : Number(digits);
}

function kprobe(retprobe: boolean): Rule {
  return (rest) => {
    if (rest === undefined) return { type: "kprobe", retprobe };
    const match = new RegExp(`^((?:[\\w.]+:)?[\\w.]+)(?:\\+(${OFFSET}))?$`).exec(rest);
    const offset = numberOf(match?.[2] ?? "0");
    if (match === null || (retprobe && offset !== 0)) {
      return new Malformed(retprobe ? "kretprobe/FUNCTION" : "kprobe/FUNCTION+OFFSET");
    }
    return { type: "kprobe", symbol: match[1], ...offset === 0 ? {} : { offset }, retprobe };
  };
}

/** Both architectures of the package wrap each call in a function of this name, since Linux 4.17 and 4.19. */
function syscall(retprobe: boolean): Rule {
  return (rest) => {
    if (rest === undefined) return { type: "kprobe", retprobe };
    if (!/^\w+$/.test(rest)) return new Malformed("ksyscall/NAME");
    return { type: "kprobe", symbol: `__${Deno.build.arch === "x86_64" ? "x64" : "arm64"}_sys_${rest}`, retprobe };
  };
}

function kprobes(when: { retprobe: boolean } | { session: true }): Rule {
  return (rest) => {
    if (rest === undefined) return { type: "kprobe_multi", ...when };
    if (!/^[\w.*?:]+$/.test(rest)) return new Malformed("kprobe.multi/PATTERN");
    return { type: "kprobe_multi", pattern: rest, ...when };
  };
}

/** The path ends at the first colon; the function may have further ones, as C++ has them. */
function uprobe(retprobe: boolean): Rule {
  return (rest) => {
    if (rest === undefined) return { type: "uprobe", retprobe };
    const colon = rest.indexOf(":"), [path, place] = [rest.slice(0, colon), rest.slice(colon + 1)];
    const form = retprobe ? "uretprobe/PATH:FUNCTION" : "uprobe/PATH:FUNCTION+OFFSET";
    if (colon <= 0 || place === "") return new Malformed(form);
    const match = new RegExp(`^(.+)\\+(${OFFSET})$`).exec(place);
    if (match === null) return { type: "uprobe", path, symbol: place, retprobe };
    const offset = numberOf(match[2]!);
    if (retprobe && offset !== 0) return new Malformed(form);
    return { type: "uprobe", path, symbol: match[1], offset, retprobe };
  };
}

function uprobes(when: { retprobe: boolean } | { session: true }): Rule {
  return (rest) => {
    if (rest === undefined) return { type: "uprobe_multi", ...when };
    const [, path, pattern] = /^([^:]+):(.+)$/.exec(rest) ?? [];
    if (path === undefined) return new Malformed("uprobe.multi/PATH:PATTERN");
    return { type: "uprobe_multi", path, pattern, ...when };
  };
}

const usdt: Rule = (rest) => {
  if (rest === undefined) return { type: "usdt" };
  const [, path, provider, name] = /^([^:]+):([^:]+):([^:]+)$/.exec(rest) ?? [];
  return path === undefined ? new Malformed("usdt/PATH:PROVIDER:NAME") : { type: "usdt", path, provider, name };
};

const tracepoint: Rule = (rest) => {
  if (rest === undefined) return { type: "tracepoint" };
  const [, category, name] = /^([^/]+)\/(.+)$/.exec(rest) ?? [];
  return category === undefined ? new Malformed("tp/CATEGORY/NAME") : { type: "tracepoint", category, name };
};

const rawTracepoint: Rule = (rest) => {
  if (rest === "") return new Malformed("raw_tp/NAME");
  return { type: "raw_tracepoint", ...rest === undefined ? {} : { name: rest } };
};

const tracing: Rule = () => ({ type: "tracing" });
const iter: Rule = (rest) => ({ type: "iter", ...rest === undefined ? {} : { [WALKED]: rest } });
const cgroup: Rule = (_rest, attachType) => ({ type: "cgroup", attachType });
const sockmap: Rule = (_rest, attachType) => ({ type: "sockmap", attachType });
const netns: Rule = (_rest, attachType) => ({ type: "netns", attachType });
const xdp: Rule = () => ({ type: "xdp" });
const tcx = (direction?: "ingress" | "egress"): Rule => () => ({ type: "tcx", ...direction && { direction } });
const netkit = (peer: boolean): Rule => () => ({ type: "netkit", peer });

/** What an iterator walks: no field of its target, but some need one for it. */
const WALKED = "";

const FROM_MAP = "it runs for packets that are redirected by a map: put its fd into the values of the";
const ROUTE = "routes hold such programs: pin it, and name it to `ip route`";
const REUSEPORT = "a group of sockets holds such programs: set SO_ATTACH_REUSEPORT_EBPF on one of them";

/** The table of libbpf 1.7, in its order. */
const TABLE: readonly Row[] = [
  ["socket", "socket_filter", undefined, "a socket holds such programs: set SO_ATTACH_BPF on it"],
  ["sk_reuseport/migrate", "sk_reuseport", "sk_reuseport_select_or_migrate", REUSEPORT],
  ["sk_reuseport", "sk_reuseport", "sk_reuseport_select", REUSEPORT],
  ["kprobe+", "kprobe", undefined, kprobe(false)],
  ["uprobe+", "kprobe", undefined, uprobe(false)],
  ["uprobe.s+", "kprobe", undefined, uprobe(false)],
  ["kretprobe+", "kprobe", undefined, kprobe(true)],
  ["uretprobe+", "kprobe", undefined, uprobe(true)],
  ["uretprobe.s+", "kprobe", undefined, uprobe(true)],
  ["kprobe.multi+", "kprobe", "trace_kprobe_multi", kprobes({ retprobe: false })],
  ["kretprobe.multi+", "kprobe", "trace_kprobe_multi", kprobes({ retprobe: true })],
  ["kprobe.session+", "kprobe", "trace_kprobe_session", kprobes({ session: true })],
  ["uprobe.multi+", "kprobe", "trace_uprobe_multi", uprobes({ retprobe: false })],
  ["uretprobe.multi+", "kprobe", "trace_uprobe_multi", uprobes({ retprobe: true })],
  ["uprobe.session+", "kprobe", "trace_uprobe_session", uprobes({ session: true })],
  ["uprobe.multi.s+", "kprobe", "trace_uprobe_multi", uprobes({ retprobe: false })],
  ["uretprobe.multi.s+", "kprobe", "trace_uprobe_multi", uprobes({ retprobe: true })],
  ["uprobe.session.s+", "kprobe", "trace_uprobe_session", uprobes({ session: true })],
  ["ksyscall+", "kprobe", undefined, syscall(false)],
  ["kretsyscall+", "kprobe", undefined, syscall(true)],
  ["usdt+", "kprobe", undefined, usdt],
  ["usdt.s+", "kprobe", undefined, usdt],
  ["tc/ingress", "sched_cls", "tcx_ingress", tcx("ingress")],
  ["tc/egress", "sched_cls", "tcx_egress", tcx("egress")],
  ["tcx/ingress", "sched_cls", "tcx_ingress", tcx("ingress")],
  ["tcx/egress", "sched_cls", "tcx_egress", tcx("egress")],
  ["tc", "sched_cls", undefined, tcx()],
  ["classifier", "sched_cls", undefined, tcx()],
  ["action", "sched_act", undefined, 'actions have no link: write SEC("tcx/ingress") or SEC("tcx/egress")'],
  ["netkit/primary", "sched_cls", "netkit_primary", netkit(false)],
  ["netkit/peer", "sched_cls", "netkit_peer", netkit(true)],
  ["tracepoint+", "tracepoint", undefined, tracepoint],
  ["tp+", "tracepoint", undefined, tracepoint],
  ["raw_tracepoint+", "raw_tracepoint", undefined, rawTracepoint],
  ["raw_tp+", "raw_tracepoint", undefined, rawTracepoint],
  ["raw_tracepoint.w+", "raw_tracepoint_writable", undefined, rawTracepoint],
  ["raw_tp.w+", "raw_tracepoint_writable", undefined, rawTracepoint],
  ["tp_btf+", "tracing", "trace_raw_tp", () => ({ type: "tp_btf" })],
  ["fentry+", "tracing", "trace_fentry", tracing],
  ["fmod_ret+", "tracing", "modify_return", tracing],
  ["fexit+", "tracing", "trace_fexit", tracing],
  ["fentry.s+", "tracing", "trace_fentry", tracing],
  ["fmod_ret.s+", "tracing", "modify_return", tracing],
  ["fexit.s+", "tracing", "trace_fexit", tracing],
  ["fsession+", "tracing", "trace_fsession", tracing],
  ["fsession.s+", "tracing", "trace_fsession", tracing],
  ["freplace+", "ext", undefined, tracing],
  ["lsm+", "lsm", "lsm_mac", tracing],
  ["lsm.s+", "lsm", "lsm_mac", tracing],
  ["lsm_cgroup+", "lsm", "lsm_cgroup", cgroup],
  ["iter+", "tracing", "trace_iter", iter],
  ["iter.s+", "tracing", "trace_iter", iter],
  ["syscall", "syscall", undefined, "it runs when it is called: object.program(...).run({ context })"],
  ["xdp.frags/devmap", "xdp", "xdp_devmap", `${FROM_MAP} devmap`],
  ["xdp/devmap", "xdp", "xdp_devmap", `${FROM_MAP} devmap`],
  ["xdp.frags/cpumap", "xdp", "xdp_cpumap", `${FROM_MAP} cpumap`],
  ["xdp/cpumap", "xdp", "xdp_cpumap", `${FROM_MAP} cpumap`],
  ["xdp.frags", "xdp", "xdp", xdp],
  ["xdp", "xdp", "xdp", xdp],
  ["perf_event", "perf_event", undefined, () => ({ type: "perf_event" })],
  ["lwt_in", "lwt_in", undefined, ROUTE],
  ["lwt_out", "lwt_out", undefined, ROUTE],
  ["lwt_xmit", "lwt_xmit", undefined, ROUTE],
  ["lwt_seg6local", "lwt_seg6local", undefined, ROUTE],
  ["sockops", "sock_ops", "cgroup_sock_ops", cgroup],
  ["sk_skb/stream_parser", "sk_skb", "sk_skb_stream_parser", sockmap],
  ["sk_skb/stream_verdict", "sk_skb", "sk_skb_stream_verdict", sockmap],
  ["sk_skb/verdict", "sk_skb", "sk_skb_verdict", sockmap],
  ["sk_skb", "sk_skb", undefined, sockmap],
  ["sk_msg", "sk_msg", "sk_msg_verdict", sockmap],
  [
    "lirc_mode2",
    "lirc_mode2",
    "lirc_mode2",
    "an infrared device holds such programs, by BPF_PROG_ATTACH: pin it for `ir-keytable`",
  ],
  ["flow_dissector", "flow_dissector", "flow_dissector", netns],
  ["cgroup_skb/ingress", "cgroup_skb", "cgroup_inet_ingress", cgroup],
  ["cgroup_skb/egress", "cgroup_skb", "cgroup_inet_egress", cgroup],
  ["cgroup/skb", "cgroup_skb", undefined, cgroup],
  ["cgroup/sock_create", "cgroup_sock", "cgroup_inet_sock_create", cgroup],
  ["cgroup/sock_release", "cgroup_sock", "cgroup_inet_sock_release", cgroup],
  ["cgroup/sock", "cgroup_sock", "cgroup_inet_sock_create", cgroup],
  ["cgroup/post_bind4", "cgroup_sock", "cgroup_inet4_post_bind", cgroup],
  ["cgroup/post_bind6", "cgroup_sock", "cgroup_inet6_post_bind", cgroup],
  ["cgroup/bind4", "cgroup_sock_addr", "cgroup_inet4_bind", cgroup],
  ["cgroup/bind6", "cgroup_sock_addr", "cgroup_inet6_bind", cgroup],
  ["cgroup/connect4", "cgroup_sock_addr", "cgroup_inet4_connect", cgroup],
  ["cgroup/connect6", "cgroup_sock_addr", "cgroup_inet6_connect", cgroup],
  ["cgroup/connect_unix", "cgroup_sock_addr", "cgroup_unix_connect", cgroup],
  ["cgroup/sendmsg4", "cgroup_sock_addr", "cgroup_udp4_sendmsg", cgroup],
  ["cgroup/sendmsg6", "cgroup_sock_addr", "cgroup_udp6_sendmsg", cgroup],
  ["cgroup/sendmsg_unix", "cgroup_sock_addr", "cgroup_unix_sendmsg", cgroup],
  ["cgroup/recvmsg4", "cgroup_sock_addr", "cgroup_udp4_recvmsg", cgroup],
  ["cgroup/recvmsg6", "cgroup_sock_addr", "cgroup_udp6_recvmsg", cgroup],
  ["cgroup/recvmsg_unix", "cgroup_sock_addr", "cgroup_unix_recvmsg", cgroup],
  ["cgroup/getpeername4", "cgroup_sock_addr", "cgroup_inet4_getpeername", cgroup],
  ["cgroup/getpeername6", "cgroup_sock_addr", "cgroup_inet6_getpeername", cgroup],
  ["cgroup/getpeername_unix", "cgroup_sock_addr", "cgroup_unix_getpeername", cgroup],
  ["cgroup/getsockname4", "cgroup_sock_addr", "cgroup_inet4_getsockname", cgroup],
  ["cgroup/getsockname6", "cgroup_sock_addr", "cgroup_inet6_getsockname", cgroup],
  ["cgroup/getsockname_unix", "cgroup_sock_addr", "cgroup_unix_getsockname", cgroup],
  ["cgroup/sysctl", "cgroup_sysctl", "cgroup_sysctl", cgroup],
  ["cgroup/getsockopt", "cgroup_sockopt", "cgroup_getsockopt", cgroup],
  ["cgroup/setsockopt", "cgroup_sockopt", "cgroup_setsockopt", cgroup],
  ["cgroup/dev", "cgroup_device", "cgroup_device", cgroup],
  [
    "struct_ops+",
    "struct_ops",
    undefined,
    'it is attached with its map of SEC(".struct_ops.link"): object.attach(MAP)',
  ],
  [
    "struct_ops.s+",
    "struct_ops",
    undefined,
    'it is attached with its map of SEC(".struct_ops.link"): object.attach(MAP)',
  ],
  ["sk_lookup", "sk_lookup", "sk_lookup", netns],
  ["netfilter", "netfilter", "netfilter", () => ({ type: "netfilter" })],
];

const ROWS: ReadonlyMap<string, Row> = new Map(TABLE.map((row) => [row[0], row]));

/** Every section that libbpf knows, as it lists them, for tests. */
export const SECTIONS: readonly { name: string; type: ProgramTypeName; attachType: AttachTypeName | undefined }[] =
  TABLE.map(([name, type, attachType]) => ({ name, type, attachType }));

/** The row of a section, and what follows the slash of a `+`. */
function find(section: string): { row: Row; rest: string | undefined } | undefined {
  const name = section.replace(/^\?/, ""); // which only says that the program is not loaded by itself
  const exact = ROWS.get(name) ?? ROWS.get(`${name}+`);
  if (exact !== undefined) return { row: exact, rest: undefined };
  const slash = name.indexOf("/"), row = ROWS.get(`${name.slice(0, slash)}+`);
  return slash < 0 || row === undefined ? undefined : { row, rest: name.slice(slash + 1) };
}

/** Whether programs of a section are for links, if it says enough: others are held by sockets, routes, maps, or called. */
export function hasLinks(section: string): boolean {
  return typeof find(section)?.row[3] === "function";
}

// ---- what a target needs

const USDT_KEYS = keysOf<UsdtTarget>({ type: true, path: true, provider: true, name: true, pid: true, cookie: true });

/** The fields that a target may have. */
function fieldsOf(type: ObjectTarget["type"]): readonly string[] {
  return type === "usdt" ? USDT_KEYS : KINDS[type].keys;
}

const TYPES = [...Object.keys(KINDS), "usdt"] as ObjectTarget["type"][];
const OPTIONS = keysOf<AttachOptions>({ signal: true, onClose: true });

/** What a target must have, the first of each being what is asked for. */
const NEEDED: { readonly [K in ObjectTarget["type"]]?: readonly (readonly string[])[] } = {
  cgroup: [["cgroup"], ["attachType"]],
  xdp: [["device"]],
  tcx: [["device"], ["direction"]],
  netkit: [["device"]],
  netfilter: [["family"], ["hook"], ["priority"]],
  sockmap: [["map"], ["attachType"]],
  raw_tracepoint: [["name"]],
  perf_event: [["event"]],
  tracepoint: [["category"], ["name"]],
  kprobe: [["symbol", "address"]],
  uprobe: [["path"], ["symbol", "offset"]],
  kprobe_multi: [["pattern", "symbols", "addresses"]],
  uprobe_multi: [["path"], ["pattern", "symbols", "offsets"]],
  usdt: [["path"], ["provider"], ["name"]],
};

/** What an iterator's target must have, by what it walks: the kernel refuses these without. */
const WALKS: Readonly<Record<string, string>> = {
  bpf_map_elem: "map",
  bpf_sk_storage_map: "map",
  sockmap: "map",
  cgroup: "cgroup",
};

/** Values for the example in an error. */
const EXAMPLES: Readonly<Record<string, string>> = {
  device: '"eth0"',
  direction: '"ingress"',
  family: '"ipv4"',
  hook: '"local_in"',
  priority: "0",
  category: '"sched"',
  path: '"/usr/bin/bash"',
  symbol: '"main"',
  pattern: '"vfs_*"',
  provider: '"libc"',
  name: '"NAME"',
  event: '{ type: "software", config: "cpu-clock", cpu: 0, sampleFrequency: 99n }',
};

/** Fields of which one takes the place of another, and of the offset from it. */
const CHOICES: { readonly [K in ObjectTarget["type"]]?: readonly string[] } = {
  kprobe: ["symbol", "address"],
  uprobe: ["symbol"],
  kprobe_multi: ["pattern", "symbols", "addresses"],
  uprobe_multi: ["pattern", "symbols", "offsets"],
};

/**
 * What a program is attached to, by its section and `overrides`; a TypeError asks for what is missing, with `sockets`, the
 * name of a map of sockets, as example.
 */
export function targetFor(program: SectionProgram, overrides: AttachOverrides, sockets = "MAP"): ObjectTarget {
  const section = `Cannot attach program "${program.name}" (SEC("${printable(program.section)}"))`;
  if (typeof overrides !== "object" || overrides === null) checkKeys(overrides, "overrides", []);
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  const { type } = given as { type?: ObjectTarget["type"] };
  if (type !== undefined) checkOneOf(type, "overrides.type", TYPES);
  const said = saidBy(program.section);
  if (type === undefined && !("type" in said)) {
    throw new TypeError(
      said instanceof Malformed ? `${section}: libbpf expects SEC("${said.form}")` : `${section}: ${said.instead}`,
    );
  }
  const base = "type" in said && (type === undefined || type === said.type) ? said : { type: type! };
  const { type: kind } = base;
  for (const field of Object.keys(given)) {
    if (fieldsOf(kind).includes(field) || OPTIONS.includes(field)) continue;
    throw new TypeError(
      `${section}: overrides has no field "${printable(field)}"; for ${kind} it may have ${
        [...fieldsOf(kind), ...OPTIONS].join(", ")
      }`,
    );
  }
  const choices = CHOICES[kind] ?? [], chosen = choices.some((field) => field in given);
  const kept = Object.entries(base).filter(([field]) => !(chosen && (choices.includes(field) || field === "offset")));
  const { [WALKED]: walked, ...target } = { ...Object.fromEntries(kept), ...given } as Record<string, unknown>;
  for (const option of OPTIONS) delete target[option];
  for (const [field, value] of Object.entries(target)) if (value === undefined) delete target[field];
  const needed = [...NEEDED[kind] ?? [], ...typeof walked === "string" && walked in WALKS ? [[WALKS[walked]!]] : []];
  const open = needed.filter((fields) => !fields.some((field) => field in target)).map(([first]) => first!);
  if (open.length === 0) return target as unknown as ObjectTarget;
  const shown = [...type === undefined ? [] : ["type"], ...open];
  const example = `{ ${shown.map((field) => `${field}: ${exampleOf(field, kind, program, sockets)}`).join(", ")} }`;
  throw new LeftOpenError(
    `${section}: it leaves open ${open.join(" and ")}: object.attach("${program.name}", ${example})`,
    program,
    open,
    example,
  );
}

/**
 * The section of a program, and what was given besides, leaves something open that a link needs.
 *
 * @example
 * ```ts
 * import { BpfObject, LeftOpenError } from "@bpf/link/object";
 *
 * using object = BpfObject.load("attach.bpf.o", { programs: ["xdp"] });
 * try {
 *   object.attachAll();
 * } catch (error) {
 *   if (error instanceof LeftOpenError) console.log(error.program.name, error.fields); // xdp [ "device" ]
 * }
 * ```
 */
export class LeftOpenError extends TypeError {
  /** `LeftOpenError`. */
  override readonly name = "LeftOpenError";
  /** The program. */
  readonly program: SectionProgram;
  /** What is to be given: fields of {@linkcode AttachOverrides}. */
  readonly fields: readonly string[];
  /** Overrides that say it, as an example in TypeScript: `{ device: "eth0" }`. */
  readonly example: string;

  /**
   * Called by the package.
   *
   * @param message What is left open, and how to say it.
   * @param program The program.
   * @param fields The fields.
   * @param example Overrides that say it.
   */
  constructor(message: string, program: SectionProgram, fields: readonly string[], example: string) {
    super(message);
    this.example = example;
    this.program = program;
    this.fields = fields;
  }
}

function saidBy(section: string): Draft | Malformed | { readonly instead: string } {
  const found = find(section);
  if (found === undefined) {
    return {
      instead: 'libbpf knows no such section; say what it is for, as { type: "kprobe", symbol: "do_unlinkat" }',
    };
  }
  const [, , attachType, rule] = found.row;
  return typeof rule === "string" ? { instead: rule } : rule(found.rest, attachType);
}

function exampleOf(
  field: string,
  kind: ObjectTarget["type"],
  { section }: SectionProgram,
  sockets: string,
): string {
  switch (field) {
    case "type":
      return `"${kind}"`;
    case "cgroup":
      return kind === "iter" ? '{ cgroup: "/sys/fs/cgroup/web" }' : '"/sys/fs/cgroup/web"';
    case "attachType":
      return kind === "sockmap" ? '"sk_skb_verdict"' : section === "cgroup/skb" ? '"cgroup_inet_egress"' : '"..."';
    case "map":
      return kind === "sockmap" ? JSON.stringify(sockets) : '"MAP"';
    case "symbol":
      return kind === "kprobe" ? '"do_unlinkat"' : '"main"';
    default:
      return EXAMPLES[field] ?? '"..."';
  }
}

// ---- words of a command line

const NUMBERS = ["device", "priority", "offset", "pid", "referenceCounterOffset"];
const FLAGS = ["retprobe", "session", "preorder", "peer", "defragment"];
const BIGINTS = ["cookie", "cookies", "address", "addresses", "expectedRevision", "samplePeriod", "sampleFrequency"];

/**
 * Overrides as a command line has them, for tools with options such as `bpflink run --attach NAME=WORDS`.
 *
 * @param program The program that is to be attached.
 * @param words `FIELD=VALUE,FIELD=VALUE`; or JSON, in which integers do for 64-bit values; or what takes the place of what
 * follows the slash of the section, as `/usr/bin/bash:readline` for `SEC("uprobe")`; or the value of the first field that
 * the section leaves open, as `eth0` for `SEC("xdp")`.
 * @returns The overrides, whose values are checked when the program is attached.
 * @throws {TypeError} If the words are none of these.
 *
 * @example
 * ```ts
 * import { BpfObject, overridesFromWords } from "@bpf/link/object";
 *
 * using object = BpfObject.load("attach.bpf.o", { programs: ["xdp"] });
 * const [xdp] = object.programs.filter(({ load }) => load);
 * console.log(overridesFromWords(xdp!, "lo"), overridesFromWords(xdp!, "device=lo,mode=generic"));
 * ```
 */
export function overridesFromWords({ name, section }: SectionProgram, words: string): AttachOverrides {
  const wrong = (what: string) =>
    new TypeError(`What program "${name}" is attached to ${what}, not "${printable(words)}"`);
  if (words.startsWith("{")) {
    try {
      return JSON.parse(words, (key, value) => BIGINTS.includes(key) ? toBigInt(value) : value) as AttachOverrides;
    } catch {
      throw wrong("must be JSON after {");
    }
  }
  const [, key] = /^(\w+)=/.exec(words) ?? [];
  if (key !== undefined && TYPES.some((type) => fieldsOf(type).includes(key))) {
    const pairs = words.split(",").map((pair) => {
      const at = pair.indexOf("=");
      if (at < 0) throw wrong("must be FIELD=VALUE,FIELD=VALUE");
      return [pair.slice(0, at), valueFromWord(pair.slice(0, at), pair.slice(at + 1))] as const;
    });
    return Object.fromEntries(pairs) as AttachOverrides;
  }
  const found = find(section);
  if (found === undefined) throw wrong("must be type=TYPE,FIELD=VALUE, since libbpf knows no such section");
  const [rowName, , attachType, rule] = found.row;
  if (typeof rule === "string") return {}; // which says what to do instead
  const bare = rule(undefined, attachType);
  if (bare instanceof Malformed) return {};
  if (rowName.endsWith("+")) {
    const said = rule(words, attachType);
    if (said instanceof Malformed) throw wrong(`must be as in SEC("${said.form}")`);
    if (Object.keys(said).length > Object.keys(bare).length && bare.type !== "iter") return said as AttachOverrides;
  }
  const field = NEEDED[bare.type]?.find((fields) => !fields.some((it) => bare[it] !== undefined))?.[0];
  if (field === undefined) throw wrong("must be FIELD=VALUE");
  return { [field]: valueFromWord(field, words) } as AttachOverrides;
}

function valueFromWord(field: string, word: string): unknown {
  if (NUMBERS.includes(field) && /^-?\d+$|^0x[\da-f]+$/i.test(word)) return Number(word);
  if (BIGINTS.includes(field) && /^\d+$|^0x[\da-f]+$/i.test(word)) return BigInt(word);
  if (FLAGS.includes(field) && /^(true|false)$/.test(word)) return word === "true";
  return word;
}

function toBigInt(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toBigInt);
  const isInteger = Number.isSafeInteger(value) || (typeof value === "string" && /^\d+$|^0x[\da-f]+$/i.test(value));
  return isInteger ? BigInt(value as number | string) : value;
}
