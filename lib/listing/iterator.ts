/** Every link through an iterator program, which is assembled for the running kernel: a record a link, in one read. */
import { BpfError } from "../error.ts";
import { btfLayout, type Member, type StructLayout } from "../ffi/btf.ts";
import { lazy } from "../lazy.ts";
import { close } from "../os/files.ts";
import { iterReadLent } from "../sys/iter.ts";
import { linkCreate } from "../sys/link_create.ts";
import { linkGetId } from "../sys/link_info.ts";
import { progLoad } from "../sys/program.ts";
import { rowOf } from "../sys/type/mod.ts";
import type { LinkRecord, RecordField } from "../sys/type/row.ts";
import { LINK_TYPES, type LinkType, PROBE_READ_KERNEL, PROBE_READ_KERNEL_STR, SEQ_WRITE } from "../uapi/constants.ts";
import { EOPNOTSUPP } from "../uapi/errno.ts";
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
import { END, type Filled, LinkRecords, NAME, Trust } from "./records.ts";

const SCRATCH = END + 8; // where the stack has room for one number
const NAME_MASK = 0x78; // a name takes whole words, and 120 bytes at most

type Shape = Pick<LinkRecord<unknown>, "struct" | "fields" | "more" | "name">;

/** What is written of the links of each type that has records. */
const shapes: () => ReadonlyMap<LinkType, Shape> = lazy(() =>
  new Map(
    LINK_TYPES.flatMap((type) => {
      const record = rowOf(type)?.record;
      return record === undefined ? [] : [[type, record] as const];
    }),
  )
);

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
  for (const { struct, fields, more = [], name } of shapes().values()) {
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
  readonly #filled: Filled;
  readonly #fds: DisposableStack;
  readonly #link: number;
  readonly #trust = new Trust();

  /**
   * Loads the program.
   *
   * @throws {BpfError} `capability` without CAP_BPF and CAP_PERFMON; `unsupported` before Linux 5.19.
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
        hint: "it needs Linux 5.19",
      });
    }
    this.#filled = program.filled;
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
    this.linkId = linkGetId(this.#link);
    this.#fds = fds.move();
  }

  /** Runs the program over all links there are now; the records are those of the types that are wanted. */
  run(types?: readonly LinkType[]): LinkRecords {
    return new LinkRecords(iterReadLent(this.#link), this.#filled, this.#trust, this.linkId, types);
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

/** The program, and which optional places of each type are filled. r6: link, r7: type, r8: container, r9: file. */
function assembleFor(layout: Layout): { instructions: Uint8Array<ArrayBuffer>; filled: Filled } | undefined {
  const member = (struct: string, path: string) => layout.get(struct)?.members.get(path);
  const cast = layout.get("bpf_rdonly_cast()")?.id;
  const link = member("bpf_iter__bpf_link", "link"), seq = member("bpf_iter__bpf_link", "meta.seq");
  const id = member("bpf_link", "id"), type = member("bpf_link", "type"), program = member("bpf_link", "prog.aux.id");
  if (!link || !seq || !id || !type || !program) return undefined;
  const access = cast === undefined ? byHelper : byLoads(cast);

  const blocks: Instruction[] = [];
  const filled = new Map<LinkType, ReadonlySet<number>>();
  for (const [linkType, shape] of shapes()) {
    const block = describe(layout.get(shape.struct), shape, access);
    if (block === undefined) continue;
    filled.set(linkType, block.optional);
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
  return { instructions: assemble(...head, ...blocks, ...writeRecord()), filled };
}

/** How a link's own struct is read, to which r6 is no typed pointer. */
interface Access {
  /** Puts the struct into r8. */
  container(struct: number, linkOffset: number): Instruction[];
  /** Puts what a path leads to into a register. */
  follow(register: number, base: number, member: Member): Instruction[];
}

/** By loads, as fast as can be: the kernel's function of this BTF id makes a pointer a typed one; since Linux 6.2. */
const byLoads = (cast: number): Access => ({
  container: (struct, linkOffset) => [copy(1, 6), add(1, -linkOffset), set(2, struct), callKernel(cast), copy(8, 0)],
  follow,
});

/** By a helper that takes any address, and gives zeroes for one where nothing is. */
const byHelper: Access = {
  container: (_struct, linkOffset) => [copy(8, 6), add(8, -linkOffset)],
  follow: (register, base, { offsets, size }) =>
    offsets.flatMap((offset, i) => {
      const bytes = i === offsets.length - 1 ? size : 8;
      return [
        copy(3, i === 0 ? base : register),
        add(3, offset),
        copy(1, 10),
        add(1, -SCRATCH),
        set(2, bytes),
        call(PROBE_READ_KERNEL),
        load(register, 10, -SCRATCH, bytes as Bytes),
      ];
    }),
};

/** Loads what a path leads to into a register. */
function follow(register: number, base: number, { offsets, size }: Member): Instruction[] {
  return offsets.map((offset, i) =>
    load(register, i === 0 ? base : register, offset, i === offsets.length - 1 ? size as Bytes : 8)
  );
}

/** The instructions for links of a type; none if this kernel lacks something. */
function describe(
  struct: StructLayout | undefined,
  { fields, more = [], name }: Shape,
  access: Access,
): Block | undefined {
  const link = struct?.members.get("link");
  const find = ([, ...paths]: RecordField) =>
    paths.map((path) => struct?.members.get(path)).find((found) => found !== undefined && isNumber(found));
  const text = name === undefined ? undefined : struct?.members.get(name);
  if (!struct || !link || fields.some((field) => !find(field)) || name !== undefined && !text) return undefined;
  const instructions = access.container(struct.id, link.offsets[0]!);
  for (const field of [...fields, ...more]) {
    const found = find(field);
    if (found === undefined) continue;
    const size = found.size === 8 ? 8 : 4; // smaller numbers are widened
    instructions.push(...access.follow(1, 8, found), store(10, field[0] * 4 - END, 1, size));
  }
  instructions.push(...text === undefined ? writeRecord() : writeNamedRecord(access.follow(3, 8, text)));
  return { instructions, optional: new Set(more.filter(find).map(([at]) => at)) };
}

/** Whether a member can be loaded at once. */
function isNumber({ size }: Member): boolean {
  return size === 1 || size === 2 || size === 4 || size === 8;
}

/** With r3 bytes. */
const write = (): Instruction[] => [copy(1, 9), copy(2, 10), add(2, -END), call(SEQ_WRITE), set(0, 0), exit];
const writeRecord = (): Instruction[] => [storeValue(10, 2 - END, NAME, 2), set(3, NAME), ...write()];

/** `findName` puts its address into r3. */
function writeNamedRecord(findName: Instruction[]): Instruction[] {
  return [
    ...Array.from({ length: (END - NAME) / 8 }, (_, i) => storeValue(10, NAME - END + i * 8, 0)),
    ...findName,
    copy(1, 10),
    add(1, NAME - END),
    set(2, END - NAME),
    call(PROBE_READ_KERNEL_STR), // a negative result reads as a long empty name
    add(0, 7),
    and(0, NAME_MASK),
    add(0, NAME),
    store(10, 2 - END, 0, 2),
    copy(3, 0),
    ...write(),
  ];
}

// ---- the one iterator of this process: loaded at first use, kept while it is used, unloaded once it is idle

const IDLE_MS = 2000;

let iterator: LinkIterator | undefined;
let holders = 0;
let uses = 0;
let isWatched = false;

/** The iterator if it is loaded. */
export function loadedIterator(): LinkIterator | undefined {
  return iterator;
}

/**
 * The iterator, loaded now if it is not yet; it may be gone after this turn of the event loop.
 *
 * @throws {BpfError} As the constructor of {@linkcode LinkIterator}.
 */
export function useIterator(): LinkIterator {
  iterator ??= new LinkIterator();
  uses++;
  if (!isWatched) closeWhenIdle();
  return iterator;
}

/** Keeps the iterator loaded until what this returns is called. */
export function holdIterator(): () => void {
  useIterator();
  holders++;
  let isHeld = true;
  return () => {
    if (isHeld) holders--;
    isHeld = false;
    uses++;
  };
}

/** Unloads the iterator now unless it is held. */
export function closeIterator(): void {
  if (holders > 0) return;
  iterator?.close();
  iterator = undefined;
}

const never = lazy(() => new Int32Array(new SharedArrayBuffer(4)));

/** Waits for what never comes: unlike a timer that neither holds the process nor looks like a leak in users' tests. */
async function closeWhenIdle(): Promise<void> {
  isWatched = true;
  for (let seen = -1; seen !== uses || holders > 0;) {
    seen = uses;
    await Atomics.waitAsync(never(), 0, 0, IDLE_MS).value;
  }
  isWatched = false;
  closeIterator();
}
