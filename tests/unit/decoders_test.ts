/**
 * What bytes are read by is given any bytes: there is an answer or a typed error, in bounded time and memory. A failure is
 * told with its seed; `BPF_LINK_TEST_SEED` repeats a run.
 */
import { assert } from "@std/assert";
import fc from "npm:fast-check@4.11.0";
import { btfFindIn, type BtfKind } from "../../lib/ffi/btf.ts";
import { native } from "../../lib/ffi/library.ts";
import { parseFdinfo } from "../../lib/listing/fdinfo.ts";
import { type Filled, LinkRecords, Trust } from "../../lib/listing/records.ts";
import { decode, LinkAsker } from "../../lib/sys/link_info.ts";
import { TYPES } from "../../lib/sys/type/mod.ts";
import type { Answer, Asker, Question } from "../../lib/sys/type/row.ts";
import { LINK_TYPES } from "../../lib/uapi/constants.ts";
import { ElfFile, type ReadAt } from "../../lib/os/elf.ts";
import { functionOffsets, type WantedFunctions } from "../../lib/os/elf_functions.ts";
import { BpfError } from "../../mod.ts";
import { CODE_OF, executable } from "../fixture/place/elf.ts";

native(); // stays loaded, which is no test's leak

const SEED = Number(Deno.env.get("BPF_LINK_TEST_SEED") ?? crypto.getRandomValues(new Int32Array(1))[0]);
const RUNS = 2000;
/** How long one answer may take, on the busiest machine. */
const PATIENCE_MS = 5000;

/** Registers a test that `read` answers any of the values, or refuses them. */
function property<T>(name: string, values: fc.Arbitrary<T>, read: (value: T) => unknown): void {
  Deno.test(`any bytes: ${name}`, () => {
    fc.assert(
      fc.property(values, (value) => {
        const start = performance.now();
        try {
          read(value);
        } catch (error) {
          if (!(error instanceof BpfError)) throw error;
        }
        assert(performance.now() - start < PATIENCE_MS, "it takes too long");
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });
}

// ---- info

/** Numbers that are special somewhere are drawn as often as others. */
const word = fc.oneof(fc.nat(), fc.nat(20), fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff));
const words = fc.array(word, { minLength: 16, maxLength: 16 });

function answerOf(words: readonly number[]): Answer {
  const view = new DataView(new Uint32Array(words).buffer);
  return { u32: (at) => view.getUint32(at, true), u64: (at) => view.getBigUint64(at, true) };
}

/** Answers again, with what it answered before, and arrays and names of zeroes of any size that it lets be made. */
class Echo implements Asker {
  readonly #answer: Answer;
  readonly #text: string;

  constructor(answer: Answer, text: string) {
    this.#answer = answer;
    this.#text = text;
  }

  ask<T>(prepare: (question: Question) => T): [question: Question, prepared: T] {
    const answer = this.#answer, text = this.#text;
    let bytes = 64;
    const question: Question = {
      u32: (at) => at < 64 ? answer.u32(at) : 0,
      u64: (at) => at < 64 ? answer.u64(at) : 0n,
      set: () => question,
      sentinel: () => question,
      written: (at) => at % 3 === 0 ? undefined : 1n,
      room(_at, size): number {
        // as the real one says
        if (size > 8 * 1024 * 1024) throw new BpfError(7, { action: "", command: "", reason: "limit", meaning: "" });
        bytes += size;
        return bytes - size;
      },
      string: (_at, size) => text.slice(0, size),
    };
    return [question, prepare(question)];
  }

  text(_at: number, _lengthAt: number, length: number): string {
    return this.#text.slice(0, length);
  }

  known(_key: string, _at: number, value: bigint): bigint | undefined {
    return value % 2n === 0n ? value : undefined;
  }
}

property(
  "info of a link, whatever it says when it is asked again",
  fc.tuple(fc.nat(LINK_TYPES.length + 2), words, fc.string()),
  ([type, rest, text]) => {
    const answer = answerOf([type, ...rest.slice(1)]);
    const info = decode(answer, new Echo(answer, text));
    assert(info.id === rest[1] && info.progId === rest[2]);
  },
);

property(
  "info of a link that cannot be asked again",
  fc.tuple(fc.nat(LINK_TYPES.length + 2), words),
  ([type, rest]) => decode(answerOf([type, ...rest.slice(1)]), new LinkAsker(-1)),
);

// ---- fdinfo

const KEYS = [
  ...["pos", "link_type", "link_id", "prog_tag", "prog_id", "attach_type", "target_obj_id", "target_btf_id", "cookie"],
  ...[
    "tp_name",
    "cgroup_id",
    "target_name",
    "map_id",
    "netns_ino",
    "ifindex",
    "pf",
    "hooknum",
    "prio",
    "flags",
    "path",
  ],
  ...[
    "kprobe_cnt",
    "uprobe_cnt",
    "pid",
    "missed",
    "name",
    "offset",
    "addr",
    "event_type",
    "type",
    "config",
    "ref_ctr_offset",
  ],
];
const TYPE_NAMES = Object.entries(TYPES).flatMap(([name, row]) => row.fdinfoTypes ?? [name]);
const fdinfoValue = fc.oneof(
  fc.string(),
  fc.nat().map(String),
  fc.integer().map((value) => `0x${value.toString(16)}`),
  fc.bigInt().map(String),
  fc.constantFrom(...TYPE_NAMES, "", "-", "0x", "1e9", "NaN", "18446744073709551616"),
);
const lines = fc.array(fc.tuple(fc.constantFrom(...KEYS), fc.constantFrom("\t", " ", ""), fdinfoValue));

property("fdinfo", fc.string({ unit: "binary" }), parseFdinfo);
property(
  "fdinfo with the lines of a link",
  fc.tuple(fc.constantFrom(...TYPE_NAMES, "unknown"), lines),
  ([type, lines]) => {
    const text = lines.map(([key, space, value]) => `${key}:${space}${value}\n`).join("");
    const info = parseFdinfo(`link_type:\t${type}\nlink_id:\t7\nprog_id:\t8\n${text}`);
    if (info === undefined) return;
    assert(Number.isInteger(info.id) && Number.isInteger(info.progId), "ids are numbers");
    for (const value of Object.values(info)) assert(!Number.isNaN(value), "what is no number is not told as one");
  },
);

// ---- records of the iterator's program

const FILLED: Filled = new Map(Object.keys(TYPES).map((type) => [type as keyof typeof TYPES, new Set([3, 4, 6, 8])]));

function readRecords(bytes: Uint8Array<ArrayBuffer>): void {
  const records = new LinkRecords(bytes, FILLED, new Trust(), 1, undefined);
  let count = 0;
  for (let at = records.first; at < records.end; at = records.next(at)) {
    records.recorded(at);
    assert(count++ <= bytes.length, "it ends");
  }
}

property("records", fc.uint8Array({ maxLength: 400 }), (bytes) => readRecords(new Uint8Array(bytes)));
property(
  "records whose lengths may be right",
  fc.array(
    fc.record({
      type: fc.nat(LINK_TYPES.length + 2),
      length: fc.constantFrom(0, 4, 36, 40, 40, 40, 44, 48, 160, 164, 65532),
      bytes: fc.uint8Array({ minLength: 36, maxLength: 156 }),
    }),
    { maxLength: 6 },
  ),
  (some) => {
    const bytes = new Uint8Array(some.reduce((sum, { length }) => sum + Math.min(length, 164), 0));
    let at = 0;
    for (const { type, length, bytes: rest } of some) {
      const record = new Uint8Array(Math.min(length, 164));
      if (record.length >= 4) new Uint16Array(record.buffer, 0, 2).set([type, length]);
      record.set(rest.subarray(0, Math.max(record.length - 4, 0)), Math.min(4, record.length));
      bytes.set(record, at);
      at += record.length;
    }
    readRecords(bytes);
  },
);

// ---- BTF that a caller has

/** A header that may be right, with types and names that may be. */
const btf = fc.tuple(
  fc.array(word, { maxLength: 60 }),
  fc.array(fc.constantFrom("", "task", "int", "a", "\0"), { maxLength: 8 }),
  fc.array(fc.tuple(fc.nat(23), word), { maxLength: 3 }),
).map(([types, names, damage]) => {
  const strings = new TextEncoder().encode(`\0${names.join("\0")}\0`), size = types.length * 4;
  const bytes = new Uint8Array(24 + size + strings.length), view = new DataView(bytes.buffer);
  view.setUint16(0, 0xeb9f, true);
  view.setUint8(2, 1);
  [24, 0, size, size, strings.length].forEach((value, i) => view.setUint32(4 + i * 4, value, true));
  types.forEach((value, i) => view.setUint32(24 + i * 4, value, true));
  bytes.set(strings, 24 + size);
  for (const [at, value] of damage) bytes[at] = value;
  return bytes;
});
const kinds: readonly BtfKind[] = ["struct", "typedef", "function"];

property("BTF", fc.uint8Array({ maxLength: 300 }), (bytes) => {
  for (const kind of kinds) btfFindIn(new Uint8Array(bytes), kind, "task");
});
property("BTF with a header", fc.tuple(btf, fc.constantFrom("task", "int", "", "nothing")), ([bytes, name]) => {
  for (const kind of kinds) btfFindIn(bytes, kind, name);
});

// ---- ELF

const { start, work } = CODE_OF;
const whole = executable({
  functions: [{ name: "_start", code: start }, { name: "work", code: work }, { name: "worker", code: work }],
  aliases: { same: 1 },
  table: "dynsym",
}).bytes;
const NAMES: readonly WantedFunctions[] = [{ names: ["work", "nothing"] }, { pattern: "*or*k?" }, { names: ["a@@B"] }];

function readElf(bytes: Uint8Array): void {
  for (const wanted of NAMES) {
    const read: ReadAt = (offset, length) => {
      assert(
        Number.isSafeInteger(offset) && offset >= 0 && length > 0 && length <= 64 * 1024 * 1024,
        "it reads a piece",
      );
      return bytes.slice(offset, offset + length);
    };
    try {
      for (const offset of functionOffsets(new ElfFile("file", read), wanted)) assert(Number.isSafeInteger(offset));
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
    }
  }
}

property("an ELF file", fc.uint8Array({ maxLength: 600 }), readElf);
property(
  "an ELF file with some words changed",
  fc.array(fc.tuple(fc.nat(whole.length / 4 - 1), word), { minLength: 1, maxLength: 6 }),
  (changes) => {
    const bytes = whole.slice(), view = new DataView(bytes.buffer);
    for (const [at, value] of changes) view.setUint32(at * 4, value, true);
    readElf(bytes);
  },
);
property(
  "an ELF file with some bytes of its headers changed",
  fc.array(
    fc.tuple(
      fc.oneof(fc.nat(64 + 2 * 56), fc.integer({ min: whole.length - 3 * 64, max: whole.length - 1 })),
      fc.nat(255),
    ),
    {
      minLength: 1,
      maxLength: 6,
    },
  ),
  (changes) => readElf(changes.reduce((bytes, [at, value]) => bytes.with(at, value), whole)),
);
