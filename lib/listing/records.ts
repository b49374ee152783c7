/** What the iterator's program writes: a record a link, read as infos once it was found to tell the truth. */
import { BpfError } from "../error.ts";
import { giveBack } from "../ffi/read.ts";
import { decoder as utf8Decoder } from "../lazy.ts";
import { closeIfOpen } from "../os/files.ts";
import { linkGetFdById } from "../sys/link.ts";
import { linkGetInfoByFd } from "../sys/link_info.ts";
import { type BpfLinkInfo, rowOf } from "../sys/type/mod.ts";
import type { LinkRecord, PlaceField, RecordReader } from "../sys/type/row.ts";
import { LINK_TYPES, type LinkType } from "../uapi/constants.ts";
import { EIO } from "../uapi/errno.ts";

/** Where the name begins, and the longest record, in bytes. */
export const NAME = 40, END = 160;

/** The types that a program writes more of than the head, and which of the optional places it fills. */
export type Filled = ReadonlyMap<LinkType, ReadonlySet<number>>;

/** What infos become; see `LinkKind`. */
export interface Decoder<T> {
  read(info: BpfLinkInfo): T;
  readonly readRecord?: RecordReader<T>;
}

/** How the records of one type are read: looked up once, for it is asked for each link. */
interface Reader {
  readonly type: LinkType;
  readonly record: LinkRecord<BpfLinkInfo> | undefined;
  readonly filled: ReadonlySet<number>;
  /** What was found to tell the truth last: the type, or a name. */
  settled: string | undefined;
  decoder: Decoder<unknown> | undefined;
  /** The last record that `decoder` could read, by its first word, where it lies, and its name. */
  head: number;
  at: number;
  name: string;
}

const NOTHING: ReadonlySet<number> = new Set();

function readerOf(number: number, filled: Filled): Reader {
  const type = LINK_TYPES[number] ?? "unknown", places = filled.get(type);
  const record = places && rowOf(type)?.record as LinkRecord<BpfLinkInfo> | undefined;
  return { type, record, filled: places ?? NOTHING, settled: undefined, decoder: undefined, head: 0, at: 0, name: "" };
}

/** The records of one run, in the order of ids. They are named by where they lie. */
export class LinkRecords implements Disposable {
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #longs: BigUint64Array;
  readonly #filled: Filled;
  readonly #readers: Reader[] = []; // by the type's number
  readonly #trust: Trust;
  readonly #ownId: number;
  readonly #types: readonly LinkType[] | undefined;
  /** Behind the last one that {@linkcode take} took. */
  #taken: number;
  /** The first record. */
  readonly first: number;
  /** Behind the last one. */
  readonly end: number;

  /** @param ownId The link that is left out. @param types The others that are. */
  constructor(
    bytes: Uint8Array<ArrayBuffer>,
    filled: Filled,
    trust: Trust,
    ownId: number,
    types: readonly LinkType[] | undefined,
  ) {
    if (bytes.length % 8 !== 0) throw notWhole();
    this.#bytes = bytes;
    this.#words = new Uint32Array(bytes.buffer, 0, bytes.length / 4);
    this.#longs = new BigUint64Array(bytes.buffer, 0, bytes.length / 8);
    this.#filled = filled;
    this.#trust = trust;
    this.#ownId = ownId;
    this.#types = types;
    this.end = this.#words.length;
    this.first = this.#taken = this.#skip(0);
  }

  /** Gives the memory back; no more can be read. */
  [Symbol.dispose](): void {
    if (this.#bytes !== undefined) giveBack(this.#bytes);
    this.#bytes = undefined;
  }

  /** The record behind another. */
  next(at: number): number {
    return this.#skip(at + (this.#words[at]! >>> 18));
  }

  /** The first record from where one begins. */
  from(at: number): number {
    return this.#skip(at);
  }

  /** Where the first record begins that is not the same in another run, which was walked. */
  sameUntil(other: LinkRecords): number {
    const a = this.#words, b = other.#words, end = Math.min(a.length, b.length);
    for (let at = 0, next; at < end; at = next) {
      let differing = 0; // bits: a branch for each word takes longer
      next = at + (b[at]! >>> 18);
      for (let i = at; i < next; i++) differing |= a[i]! ^ b[i]!;
      if (differing !== 0) return at;
    }
    return end;
  }

  #skip(at: number): number {
    const words = this.#words, types = this.#types;
    for (let length = 0; at < this.end; at += length) {
      length = words[at]! >>> 18;
      if (length < NAME / 4 || (length & 1) !== 0 || at + length > this.end) throw notWhole();
      if (words[at + 1] !== this.#ownId && (types === undefined || types.includes(this.#reader(at).type))) break;
    }
    return at;
  }

  #reader(at: number): Reader {
    const number = this.#words[at]! & 0xffff;
    return this.#readers[number] ??= readerOf(number, this.#filled);
  }

  /** The id of a link. */
  id(at: number): number {
    return this.#words[at + 1]!;
  }

  /** Whether the record of a link is that of another run. */
  isSame(at: number, other: LinkRecords, otherAt: number): boolean {
    const a = this.#words, b = other.#words, length = a[at]! >>> 18;
    for (let i = 0; i < length; i++) if (a[at + i] !== b[otherAt + i]) return false;
    return true;
  }

  /** The info of a link, if need be from the link itself; undefined if that is gone. */
  info(at: number): BpfLinkInfo | undefined {
    const reader = this.#reader(at), name = this.#name(reader, at), key = keyOf(reader, name);
    const recorded = this.#recorded(reader, at, name);
    return this.#isSettled(reader, key) ? recorded : this.#trust.settle(recorded, key, reader);
  }

  /** The same in the terms of `decoderOf`; straight from the record if that is known to tell the truth. */
  decode<T>(at: number, decoderOf: (type: LinkType) => Decoder<T>): T | undefined {
    const reader = this.#reader(at), decoder = (reader.decoder ??= decoderOf(reader.type)) as Decoder<T>;
    if (decoder.readRecord !== undefined && reader.record !== undefined) {
      const name = this.#name(reader, at);
      if (this.#isSettled(reader, keyOf(reader, name))) {
        reader.head = this.#words[at]!;
        reader.at = at;
        reader.name = name;
        return decoder.readRecord(this.#words, this.#longs, at, reader.filled, name);
      }
    }
    const info = this.info(at);
    return info && decoderOf(info.type).read(info); // which may be another link's by now
  }

  /**
   * The next infos in these terms, so many at most: what {@linkcode decode} gives, sooner for records that are like the
   * last of their type. None at the end.
   */
  take<T>(decoderOf: (type: LinkType) => Decoder<T>, most: number): T[] {
    const words = this.#words, longs = this.#longs, readers = this.#readers, end = this.end, ownId = this.#ownId;
    // room for all at once: to grow takes as long as to fill
    const infos: T[] = new Array(Math.min(most, (end - this.#taken) / (NAME / 4) >>> 0));
    let count = 0, at = this.#taken;
    while ((at = this.#skip(at)) < end && count < most) {
      const reader = readers[words[at]! & 0xffff];
      if (reader === undefined || reader.head !== words[at] || !isNamedAlike(words, at, reader.at)) {
        const info = this.decode(at, decoderOf);
        if (info !== undefined) infos[count++] = info;
        at += words[at]! >>> 18;
        continue;
      }
      // a run of records like the last one
      const { head, at: last, filled, name } = reader, length = head >>> 18;
      const readRecord = reader.decoder!.readRecord as RecordReader<T>;
      do {
        infos[count++] = readRecord(words, longs, at, filled, name);
        at += length;
      } while (
        count < most && at + length <= end && words[at] === head && words[at + 1] !== ownId &&
        isNamedAlike(words, at, last)
      );
    }
    this.#taken = at;
    infos.length = count;
    return infos;
  }

  /** What the record alone says. */
  recorded(at: number): BpfLinkInfo {
    const reader = this.#reader(at);
    return this.#recorded(reader, at, this.#name(reader, at));
  }

  #recorded({ type, record, filled }: Reader, at: number, name: string): BpfLinkInfo {
    const words = this.#words; // no closures: it runs for each link
    if (record !== undefined) return record.read(words, this.#longs, at, filled, name);
    const id = words[at + 1]!, progId = words[at + 2]!;
    return rowOf(type)?.bare?.(id, progId) ?? { type: "unknown", id, progId, typeNumber: words[at]! & 0xffff };
  }

  #isSettled(reader: Reader, key: string): boolean {
    if (key === reader.settled) return true;
    if (!this.#trust.isSettled(key)) return false;
    reader.settled = key;
    return true;
  }

  #name({ record }: Reader, at: number): string {
    if (record?.name === undefined) return "";
    return nameOf(this.#words, at + NAME / 4, at + (this.#words[at]! >>> 18));
  }
}

/** Whether two records of one length have the same name. */
function isNamedAlike(words: Uint32Array, a: number, b: number): boolean {
  const length = words[a]! >>> 18;
  for (let i = NAME / 4; i < length; i++) if (words[a + i] !== words[b + i]) return false;
  return true;
}

/** What is compared once. */
function keyOf({ type, record }: Reader, name: string): string {
  return record?.variesByName ? name : type;
}

function notWhole(): BpfError {
  const meaning = "the iterator's program wrote something else than whole records";
  return new BpfError(EIO, { action: "Cannot list links", command: "read", reason: "other", meaning });
}

type Name = readonly [words: Uint32Array, text: string];
/** Names by a hash of their words: there are few, and a million links have them. */
const names = new Map<number, Name>();
/** Many links in a row have the same. */
let last: Name = [new Uint32Array(), ""];

function nameOf(words: Uint32Array<ArrayBuffer>, from: number, end: number): string {
  if (isAt(last[0], words, from, end)) return last[1];
  let hash = 0;
  for (let i = from; i < end; i++) hash = Math.imul(hash ^ words[i]!, 0x9e3779b1) ^ hash >>> 15;
  const known = names.get(hash);
  if (known !== undefined && isAt(known[0], words, from, end)) {
    last = known;
  } else {
    const own = words.slice(from, end);
    const bytes = new Uint8Array(own.buffer), zero = bytes.indexOf(0);
    last = [own, utf8Decoder().decode(zero < 0 ? bytes : bytes.subarray(0, zero))];
    if (names.size > 4096) names.clear();
    names.set(hash, last);
  }
  return last[1];
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
export class Trust {
  readonly #agreed = new Set<string>();
  readonly #differed = new Map<string, number>();
  #maySee = true;

  /** Whether such records were found to say what info says, or nothing can be compared. */
  isSettled(key: string): boolean {
    return !this.#maySee || this.#agreed.has(key);
  }

  /** The info to be believed; undefined if the link is gone. */
  settle(recorded: BpfLinkInfo, key: string, { record }: Reader): BpfLinkInfo | undefined {
    const complete = record !== undefined && !record.isIncomplete;
    const info = this.#ask(recorded.id);
    if (info === undefined || !complete) return this.#maySee ? info : recorded;
    const differed = this.#differed.get(key) ?? 0;
    if (differed >= ATTEMPTS) return info;
    if (!agree(recorded, info)) this.#differed.set(key, differed + 1);
    else if (provesSomething(info)) this.#agreed.add(key);
    return this.#agreed.has(key) ? recorded : info; // which may tell more, such as the network namespace
  }

  #ask(id: number): BpfLinkInfo | undefined {
    try {
      const fd = linkGetFdById(id);
      try {
        return linkGetInfoByFd(fd);
      } finally {
        closeIfOpen(fd);
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

/** Whether what both tell is the same; counters go on between the two looks. */
function agree(recorded: BpfLinkInfo, info: BpfLinkInfo): boolean {
  const other = info as unknown as Record<string, unknown>;
  return Object.entries(recorded).every(([key, value]) => !(key in other) || other[key] === value);
}

/** A detached link has 0 where its place was, and so proves nothing. */
function provesSomething(info: BpfLinkInfo): boolean {
  const place = rowOf(info.type)?.place;
  return place === undefined || Number((info as { [P in PlaceField]?: number | bigint })[place] ?? 0) !== 0;
}
