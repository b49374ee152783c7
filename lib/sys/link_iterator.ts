/** Every link through an iterator program, which is assembled for the running kernel: a record a link, in one read. */
import { BpfError } from "../error.ts";
import { LINK_TYPES } from "../uapi/constants.ts";
import { EOPNOTSUPP } from "../uapi/errno.ts";
import { attachTypeName, type LinkType } from "../uapi/types.ts";
import {
  add,
  and,
  assemble,
  type Bytes,
  call,
  callKernel,
  copy,
  exit,
  type Instruction,
  load,
  set,
  skipIf,
  skipUnless,
  store,
  storeValue,
} from "./assembler.ts";
import { btfLayout, type Member, type StructLayout } from "./btf.ts";
import { iterCreate } from "./iter.ts";
import { linkGetFdById } from "./link.ts";
import { linkCreate } from "./link_create.ts";
import { type BpfLinkInfo, linkGetId, linkGetInfoByFd } from "./link_info.ts";
import { progLoad } from "./program.ts";
import { close, read } from "./system.ts";

// A record: type u16 and length u16, id, program's id, and what the type has, then perhaps a name. Every byte of it is
// written, for what lay on the stack would look like a change.
const A = 3, B = 4, C = 6, D = 8, NAME = 40, END = 160; // A to D in words, the others in bytes
const PROBE_READ_KERNEL_STR = 115, SEQ_WRITE = 127;
const NAME_MASK = 0x78; // a name takes whole words, and 120 bytes at most

/** What is written of the links of a type. */
interface Shape {
  /** The kernel's struct; its member `link` is where the iterator's pointer points to. */
  readonly struct: string;
  /** Without one of them links of the type are left to info: paths from the struct, the first that there is. */
  readonly fields: readonly Field[];
  /** Those that a kernel may do without. */
  readonly more?: readonly Field[];
  /** The path of a string. */
  readonly name?: string;
}
type Field = readonly [at: number, ...paths: string[]];

const interfaceFields = (ownType: string): Pick<Shape, "fields" | "more"> => ({
  fields: [[A, "link.attach_type", ownType], [B, "dev.ifindex"]],
  more: [[C, "dev.nd_net.net.ns.inum"]],
});

/** perf_event and the types with arrays are not among them: each of their links is asked. */
const SHAPES: { readonly [T in LinkType]?: Shape } = {
  raw_tracepoint: { struct: "bpf_raw_tp_link", fields: [], more: [[C, "cookie"]], name: "btp.tp.name" },
  tracing: {
    struct: "bpf_tracing_link",
    fields: [[A, "link.link.attach_type", "link.attach_type", "attach_type"], [B, "trampoline.key"]],
    more: [[C, "link.cookie"]],
  },
  cgroup: { struct: "bpf_cgroup_link", fields: [[A, "link.attach_type", "type"], [B, "cgroup.kn.id"]] },
  iter: {
    struct: "bpf_iter_link",
    fields: [[D, "aux.map.id"], [B, "aux.cgroup.start.kn.id"], [A, "aux.cgroup.order"], [C, "aux.task.type"], [
      C + 1,
      "aux.task.pid",
    ]],
    name: "tinfo.reg_info.target",
  },
  netns: { struct: "bpf_netns_link", fields: [[A, "link.attach_type", "type"], [B, "net.ns.inum"]] },
  xdp: { struct: "bpf_xdp_link", fields: [[B, "dev.ifindex"]], more: [[C, "dev.nd_net.net.ns.inum"]] },
  struct_ops: { struct: "bpf_struct_ops_link", fields: [[B, "map.id"]] },
  netfilter: {
    struct: "bpf_nf_link",
    fields: [[A, "hook_ops.pf"], [B, "hook_ops.hooknum"], [B + 1, "hook_ops.priority"], [C, "defrag_hook"]],
  },
  tcx: { struct: "tcx_link", ...interfaceFields("location") },
  netkit: { struct: "netkit_link", ...interfaceFields("location") },
  sockmap: { struct: "sockmap_link", fields: [[A, "link.attach_type", "attach_type"], [B, "map.id"]] },
  kprobe_multi: { struct: "bpf_kprobe_multi_link", fields: [[A, "cnt"], [B, "flags", "link.flags"]] },
  uprobe_multi: {
    struct: "bpf_uprobe_multi_link",
    fields: [[A, "cnt"], [B, "flags", "link.flags"]],
    more: [[C, "task.tgid"]],
  },
};

/** Where a detached link of these types has nothing, and so proves nothing. */
const TARGETED: readonly LinkType[] = ["cgroup", "netns", "xdp", "struct_ops", "tcx", "netkit", "sockmap", "tracing"];
/** Where the record does not tell all. */
const INCOMPLETE: readonly LinkType[] = ["perf_event", "kprobe_multi", "uprobe_multi", "tracing_multi", "unknown"];

/** The structs and members that the program needs, found in the kernel's BTF. */
type Layout = ReadonlyMap<string, StructLayout>;

/** Finds out where the members lie. */
export function linkLayout(): Layout {
  const wanted: Record<string, string[]> = {
    "bpf_iter_bpf_link()": [],
    "bpf_rdonly_cast()": [],
    bpf_iter__bpf_link: ["link", "meta.seq"],
    bpf_link: ["id", "type", "prog.aux.id"],
  };
  for (const { struct, fields, more = [], name } of Object.values(SHAPES)) {
    const paths = [...fields, ...more].flatMap(([, ...paths]) => paths);
    wanted[struct] = ["link", ...paths, ...name === undefined ? [] : [name]];
  }
  return btfLayout(wanted);
}

/** The instructions for links of a type, and which of the optional places they fill. */
interface Block {
  readonly instructions: Instruction[];
  readonly optional: ReadonlySet<number>;
}

/** The iterator, loaded and attached. It holds two fds until it is closed. */
export class LinkIterator implements Disposable {
  /** The id of its own link, which its records leave out. */
  readonly linkId: number;
  /** The types that records tell of, and which of the optional places. */
  readonly #told: ReadonlyMap<LinkType, ReadonlySet<number>>;
  readonly #fds: DisposableStack;
  readonly #link: number;
  readonly #trust = new Trust();

  /**
   * Loads the program.
   *
   * @throws {BpfError} `capability` without CAP_BPF and CAP_PERFMON; `unsupported` before Linux 6.2.
   */
  constructor(layout: Layout = linkLayout()) {
    const attachBtfId = layout.get("bpf_iter_bpf_link()")?.id;
    const program = assembleFor(layout);
    if (attachBtfId === undefined || program === undefined) {
      throw new BpfError(EOPNOTSUPP, {
        action: "Cannot iterate over links",
        command: "PROG_LOAD",
        reason: "unsupported",
        meaning: "this kernel cannot run the iterator",
        hint: "it needs Linux 6.2",
      });
    }
    this.#told = program.told;
    using fds = new DisposableStack();
    const own = (fd: number) => fds.adopt(fd, close);
    const loaded = own(progLoad("tracing", program.instructions, {
      name: "links",
      license: "Dual MIT/GPL", // the helpers are for GPL programs
      expectedAttachType: "trace_iter",
      attachBtfId,
      logLevel: 0,
    }));
    this.#link = own(linkCreate(loaded, 0, "trace_iter"));
    this.linkId = linkGetId(this.#link) ?? 0;
    this.#fds = fds.move();
  }

  /** Runs the program over all links there are now, in the order of their ids. */
  run(): LinkRecords {
    const fd = iterCreate(this.#link);
    const pieces: Uint8Array[] = [];
    let size = 0;
    try {
      for (let piece; (piece = read(fd)).length > 0; size += piece.length) pieces.push(piece);
    } finally {
      close(fd);
    }
    const bytes = new Uint8Array(size); // one piece may end within a record
    size = 0;
    for (const piece of pieces) {
      bytes.set(piece, size);
      size += piece.length;
    }
    return new LinkRecords(bytes, this.linkId, this.#told, this.#trust);
  }

  /** Unloads the program. */
  close(): void {
    this.#fds.dispose();
  }

  /** {@linkcode close}, at the end of a `using` scope. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** The program, and which optional places of each type are told. r6: link, r7: type, r8: container, r9: file. */
function assembleFor(
  layout: Layout,
): { instructions: Uint8Array<ArrayBuffer>; told: ReadonlyMap<LinkType, ReadonlySet<number>> } | undefined {
  const member = (struct: string, path: string) => layout.get(struct)?.members.get(path);
  const cast = layout.get("bpf_rdonly_cast()")?.id;
  const link = member("bpf_iter__bpf_link", "link"), seq = member("bpf_iter__bpf_link", "meta.seq");
  const id = member("bpf_link", "id"), type = member("bpf_link", "type"), program = member("bpf_link", "prog.aux.id");
  if (!cast || !link || !seq || !id || !type || !program) return undefined;

  const blocks: Instruction[] = [];
  const told = new Map<LinkType, ReadonlySet<number>>();
  for (const [linkType, shape] of Object.entries(SHAPES) as [LinkType, Shape][]) {
    const block = describe(layout.get(shape.struct), shape, cast);
    if (block === undefined) continue;
    told.set(linkType, block.optional);
    blocks.push(skipUnless(7, LINK_TYPES.indexOf(linkType), block.instructions.length), ...block.instructions);
  }
  const head = [
    ...follow(9, 1, seq),
    ...follow(6, 1, link),
    skipUnless(6, 0, 2), // the end
    set(0, 0),
    exit,
    ...follow(1, 6, id),
    skipUnless(1, 0, 2), // being made: it has no id yet
    set(0, 0),
    exit,
    store(10, 4 - END, 1, 4),
    ...follow(7, 6, type),
    store(10, -END, 7, 4),
    ...[8, 16, 24, 32].map((at) => storeValue(10, at - END, 0)),
    load(1, 6, program.offsets[0]!),
    skipIf(1, 0, program.offsets.length), // struct_ops has none
    ...program.offsets.slice(1).map((offset, i) => load(1, 1, offset, i === program.offsets.length - 2 ? 4 : 8)),
    store(10, 8 - END, 1, 4),
  ];
  return { instructions: assemble(...head, ...blocks, ...writeRecord), told };
}

/** Puts what a path leads to into a register. */
function follow(register: number, base: number, { offsets, size }: Member): Instruction[] {
  return offsets.map((offset, i) =>
    load(register, i === 0 ? base : register, offset, i === offsets.length - 1 ? size as Bytes : 8)
  );
}

/** The instructions for links of a type; none if this kernel lacks something. */
function describe(
  struct: StructLayout | undefined,
  { fields, more = [], name }: Shape,
  cast: number,
): Block | undefined {
  const link = struct?.members.get("link");
  const find = ([, ...paths]: Field) =>
    paths.map((path) => struct?.members.get(path)).find((found) => found !== undefined && isNumber(found));
  const text = name === undefined ? undefined : struct?.members.get(name);
  if (!struct || !link || fields.some((field) => !find(field)) || name !== undefined && !text) return undefined;
  const instructions = [copy(1, 6), add(1, -link.offsets[0]!), set(2, struct.id), callKernel(cast), copy(8, 0)];
  for (const field of [...fields, ...more]) {
    const found = find(field);
    if (found === undefined) continue;
    const size = found.size === 8 ? 8 : 4; // smaller numbers are widened
    instructions.push(...follow(1, 8, found), store(10, field[0] * 4 - END, 1, size));
  }
  instructions.push(...text === undefined ? writeRecord : writeNamedRecord(text));
  return { instructions, optional: new Set(more.filter(find).map(([at]) => at)) };
}

/** Whether a member can be loaded at once. */
function isNumber({ size }: Member): boolean {
  return size === 1 || size === 2 || size === 4 || size === 8;
}

/** With r3 bytes. */
const write: Instruction[] = [copy(1, 9), copy(2, 10), add(2, -END), call(SEQ_WRITE), set(0, 0), exit];
const writeRecord: Instruction[] = [storeValue(10, 2 - END, NAME, 2), set(3, NAME), ...write];

function writeNamedRecord(name: Member): Instruction[] {
  return [
    ...Array.from({ length: (END - NAME) / 8 }, (_, i) => storeValue(10, NAME - END + i * 8, 0)),
    ...follow(3, 8, name),
    copy(1, 10),
    add(1, NAME - END),
    set(2, END - NAME),
    call(PROBE_READ_KERNEL_STR), // a negative result reads as a long empty name
    add(0, 7),
    and(0, NAME_MASK),
    add(0, NAME),
    store(10, 2 - END, 0, 2),
    copy(3, 0),
    ...write,
  ];
}

/** The records of one run. */
export class LinkRecords {
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #longs: BigUint64Array;
  readonly #starts: number[] = []; // in words
  readonly #told: ReadonlyMap<LinkType, ReadonlySet<number>>;
  readonly #trust: Trust;

  constructor(
    bytes: Uint8Array<ArrayBuffer>,
    ownId: number,
    told: ReadonlyMap<LinkType, ReadonlySet<number>>,
    trust: Trust,
  ) {
    this.#words = new Uint32Array(bytes.buffer, 0, bytes.length >> 2);
    this.#longs = new BigUint64Array(bytes.buffer, 0, bytes.length >> 3);
    this.#told = told;
    this.#trust = trust;
    for (let at = 0; at < this.#words.length; at += this.#words[at]! >>> 18) {
      if (this.#words[at + 1] !== ownId) this.#starts.push(at);
    }
  }

  /** How many links there are. */
  get length(): number {
    return this.#starts.length;
  }

  /** The id of a link. */
  id(i: number): number {
    return this.#words[this.#starts[i]! + 1]!;
  }

  /** The type of a link. */
  type(i: number): LinkType {
    return LINK_TYPES[this.#words[this.#starts[i]!]! & 0xffff] ?? "unknown";
  }

  /** Whether the record of a link is that of another run. */
  isSame(i: number, other: LinkRecords, j: number): boolean {
    const a = this.#words, b = other.#words, from = this.#starts[i]!, to = other.#starts[j]!;
    const length = a[from]! >>> 18;
    for (let k = 0; k < length; k++) if (a[from + k] !== b[to + k]) return false;
    return true;
  }

  /** The info of a link, if need be from the link itself; undefined if that is gone. */
  info(i: number): BpfLinkInfo | undefined {
    const type = this.type(i);
    const told = this.#decode(type, this.#starts[i]!);
    return this.#trust.isSettled(told) ? told : this.#trust.settle(told, type, this.#told.has(type));
  }

  #decode(type: LinkType, word: number): BpfLinkInfo {
    const words = this.#words, longs = this.#longs, long = word >> 1; // no closures: it runs for each link
    const id = words[word + 1]!, progId = words[word + 2]!;
    const tells = this.#told.get(type);
    if (tells === undefined) {
      return type === "perf_event"
        ? { type, id, progId, perfType: "unspec" }
        : { type: "unknown", id, progId, typeNumber: words[word]! & 0xffff };
    }
    switch (type) {
      case "cgroup":
        return { type, id, progId, cgroupId: longs[long + (B >> 1)]!, attachType: attachTypeName(words[word + A]!) };
      case "xdp": {
        const ifindex = words[word + B]!, netnsIno = words[word + C]!;
        return netnsIno === 0 ? { type, id, progId, ifindex } : { type, id, progId, ifindex, netnsIno };
      }
      case "tcx":
      case "netkit": {
        const ifindex = words[word + B]!, netnsIno = words[word + C]!, attachType = attachTypeName(words[word + A]!);
        return netnsIno === 0
          ? { type, id, progId, ifindex, attachType }
          : { type, id, progId, ifindex, attachType, netnsIno };
      }
      case "netns":
        return { type, id, progId, netnsIno: words[word + B]!, attachType: attachTypeName(words[word + A]!) };
      case "sockmap":
        return { type, id, progId, mapId: words[word + B]!, attachType: attachTypeName(words[word + A]!) };
      case "struct_ops":
        return { type, id, progId, mapId: words[word + B]! };
      case "netfilter": {
        const flags = longs[long + (C >> 1)]! === 0n ? 0 : 1; // whether there is a hook that puts fragments together
        return {
          type,
          id,
          progId,
          pf: words[word + A]!,
          hooknum: words[word + B]!,
          priority: words[word + B + 1]! | 0,
          flags,
        };
      }
      case "raw_tracepoint": {
        const cookie = tells.has(C) ? { cookie: longs[long + (C >> 1)]! } : {};
        return { type, id, progId, tpName: this.#name(word), ...cookie };
      }
      case "tracing": {
        const cookie = tells.has(C) ? { cookie: longs[long + (C >> 1)]! } : {};
        // its highest bit tells programs from the kernel
        const targetBtfId = words[word + B]! & 0x7fffffff, targetObjId = words[word + B + 1]!;
        return { type, id, progId, attachType: attachTypeName(words[word + A]!), targetObjId, targetBtfId, ...cookie };
      }
      case "iter": {
        const targetName = this.#name(word);
        const ofCgroups = targetName === "cgroup", taskType = targetName.startsWith("task") ? words[word + C]! : 0;
        return {
          type,
          id,
          progId,
          targetName,
          mapId: words[word + D]!,
          cgroupId: ofCgroups ? longs[long + (B >> 1)]! : 0n,
          order: ofCgroups ? words[word + A]! : 0,
          tid: taskType === TASK_TID ? words[word + C + 1]! : 0,
          pid: taskType === TASK_TGID ? words[word + C + 1]! : 0,
        };
      }
      case "kprobe_multi":
        return { type, id, progId, count: words[word + A]!, flags: words[word + B]!, functions: [] };
      case "uprobe_multi":
        return {
          type,
          id,
          progId,
          path: "",
          count: words[word + A]!,
          flags: words[word + B]!,
          pid: words[word + C]!,
          places: [],
        };
      default:
        return { type: "unknown", id, progId, typeNumber: words[word]! & 0xffff };
    }
  }

  #name(word: number): string {
    return nameOf(this.#words, word + NAME / 4, word + (this.#words[word]! >>> 18));
  }
}

const TASK_TID = 1, TASK_TGID = 2; // BPF_TASK_ITER_*

const decoder = new TextDecoder();
/** Names by a hash of their words: there are few, and a million links have them. */
const names = new Map<number, readonly [words: Uint32Array, name: string]>();

function nameOf(words: Uint32Array<ArrayBuffer>, from: number, end: number): string {
  let hash = 0;
  for (let i = from; i < end; i++) hash = Math.imul(hash ^ words[i]!, 0x9e3779b1) ^ hash >>> 15;
  const known = names.get(hash);
  if (known !== undefined && isAt(known[0], words, from, end)) return known[1];
  const own = words.slice(from, end);
  const bytes = new Uint8Array(own.buffer), zero = bytes.indexOf(0);
  const name = decoder.decode(zero < 0 ? bytes : bytes.subarray(0, zero));
  if (names.size > 4096) names.clear();
  names.set(hash, [own, name]);
  return name;
}

function isAt(expected: Uint32Array, words: Uint32Array, from: number, end: number): boolean {
  if (expected.length !== end - from) return false;
  for (let i = 0; i < expected.length; i++) if (expected[i] !== words[from + i]) return false;
  return true;
}

const ATTEMPTS = 3; // a link may change between the two looks

/**
 * Whether records say what info says: the first of each type are compared, and until one agrees, or for good if none
 * does, infos come from the links themselves. So a member that kept its name and changed its meaning does no harm.
 */
class Trust {
  readonly #agreed = new Set<string>();
  readonly #differed = new Map<string, number>();
  #maySee = true;

  /** Whether such records were found to say what info says, or nothing can be compared. */
  isSettled(told: BpfLinkInfo): boolean {
    return !this.#maySee || this.#agreed.has(keyOf(told));
  }

  /** The info to be believed; undefined if the link is gone. `isTold`: the record has what it needs. */
  settle(told: BpfLinkInfo, type: LinkType, isTold: boolean): BpfLinkInfo | undefined {
    const complete = isTold && !INCOMPLETE.includes(type);
    const key = keyOf(told);
    const info = this.#ask(told.id);
    if (info === undefined || !complete) return this.#maySee ? info : told;
    const differed = this.#differed.get(key) ?? 0;
    if (differed >= ATTEMPTS) return info;
    if (!agree(told, info)) this.#differed.set(key, differed + 1);
    else if (provesSomething(info)) this.#agreed.add(key);
    return info;
  }

  #ask(id: number): BpfLinkInfo | undefined {
    try {
      const fd = linkGetFdById(id);
      try {
        return linkGetInfoByFd(fd);
      } finally {
        close(fd);
      }
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      if (error.reason === "gone" || error.reason === "unsettled") return undefined;
      if (error.code !== "EPERM") throw error;
      this.#maySee = false; // no CAP_SYS_ADMIN: there is nothing to compare with
      return undefined;
    }
  }
}

/** What is compared once: each kind of iterator has members of its own. */
function keyOf(told: BpfLinkInfo): string {
  return told.type === "iter" ? told.targetName : told.type;
}

/** Whether what both tell is the same; counters go on between the two looks. */
function agree(told: BpfLinkInfo, info: BpfLinkInfo): boolean {
  const other = info as unknown as Record<string, unknown>;
  return Object.entries(told).every(([key, value]) => !(key in other) || other[key] === value);
}

function provesSomething(info: BpfLinkInfo): boolean {
  if (!TARGETED.includes(info.type)) return true;
  return Object.entries(info).some(([key, value]) =>
    ["cgroupId", "netnsIno", "ifindex", "mapId", "targetBtfId"].includes(key) && Number(value) !== 0
  );
}
