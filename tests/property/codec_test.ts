/**
 * Random types of C as BTF: what is written reads the same, what any bytes read as can be written and reads the same, and
 * any BTF gives an answer or a typed error.
 *
 * `BPF_LINK_TEST_TYPES` says how many types there are, `BPF_LINK_TEST_SEED` repeats a run.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "npm:fast-check@4.11.0";
import { Btf } from "../../lib/object/btf.ts";
import type { Codec } from "../../lib/object/codec.ts";
import { BOOL, BtfWriter, CHAR, SIGNED, type WrittenMember } from "../fixture/program/btf_writer.ts";

const TYPES = Number(Deno.env.get("BPF_LINK_TEST_TYPES") ?? 500);
const SEED = Number(Deno.env.get("BPF_LINK_TEST_SEED") ?? crypto.getRandomValues(new Int32Array(1))[0]);

/** A type: how many bytes it has, how it is written into BTF, and which values it takes. */
interface Type {
  readonly size: number;
  readonly write: (writer: BtfWriter) => number;
  readonly values: fc.Arbitrary<unknown>;
  /** It has a bool, which is undefined in C where another member of a union made it neither 0 nor 1. */
  readonly hasBool?: boolean;
  /** It may be a bit field. */
  readonly field?: (bits: number) => fc.Arbitrary<unknown>;
}

interface Member {
  readonly type: Type;
  readonly gap: number;
  readonly bits: number;
  readonly wrapping: "none" | "typedef" | "const" | "anonymous";
}

function integers(size: number, signed: boolean): (bits: number) => fc.Arbitrary<unknown> {
  return (bits) => {
    const least = signed ? -(1n << BigInt(bits - 1)) : 0n, most = least + (1n << BigInt(bits)) - 1n;
    return fc.bigInt(least, most).map((value) => size > 4 ? value : Number(value));
  };
}

const integer: fc.Arbitrary<Type> = fc.record({ size: fc.constantFrom(1, 2, 4, 8, 16), signed: fc.boolean() }).map(
  ({ size, signed }) => ({
    size,
    write: (w) => w.int(`int${size}`, size, signed ? SIGNED : 0),
    values: integers(size, signed)(8 * size),
    field: integers(size, signed),
  }),
);
const bool: fc.Arbitrary<Type> = fc.constant({
  size: 1,
  write: (w) => w.int("_Bool", 1, BOOL),
  values: fc.boolean(),
  hasBool: true,
  field: () => fc.boolean(),
});
const float: fc.Arbitrary<Type> = fc.constantFrom<Type[]>(
  { size: 4, write: (w) => w.float("float", 4), values: fc.float() },
  { size: 8, write: (w) => w.float("double", 8), values: fc.double() },
);
const pointer: fc.Arbitrary<Type> = fc.constant({
  size: 8,
  write: (w) => w.refer("ptr", 0),
  values: fc.bigInt(0n, 2n ** 64n - 1n),
});
const enumeration: fc.Arbitrary<Type> = fc.record({
  wide: fc.boolean(),
  numbers: fc.uniqueArray(fc.integer({ min: 0, max: 127 }), { minLength: 1, maxLength: 5 }),
}).map(({ wide, numbers }) => {
  const named = Object.fromEntries(numbers.map((number, i) => [`V${i}`, BigInt(number)]));
  const others = fc.integer({ min: 128, max: 2 ** 32 - 1 });
  return {
    size: wide ? 8 : 4,
    write: (w) => wide ? w.enum64("wide", 8, named) : w.enum("kind", 4, named),
    values: fc.oneof(fc.constantFrom(...Object.keys(named)), wide ? others.map(BigInt) : others),
  };
});
const text: fc.Arbitrary<Type> = fc.integer({ min: 1, max: 70 }).map((size) => ({
  size,
  write: (w) => w.array(w.int("char", 1, size % 2 === 0 ? SIGNED : CHAR), size),
  values: fc.oneof(fc.string({ unit: "binary" }), fc.string()).map((value) =>
    fitting(value.replaceAll("\0", ""), size)
  ),
}));
const bytes: fc.Arbitrary<Type> = fc.integer({ min: 1, max: 40 }).map((size) => ({
  size,
  write: (w) => w.array(w.int("unsigned char", 1), size),
  values: fc.uint8Array({ minLength: size, maxLength: size }),
}));

/** As many characters as fit. */
function fitting(value: string, size: number): string {
  const bytes = new Uint8Array(size), { read } = new TextEncoder().encodeInto(value, bytes);
  return value.slice(0, read);
}

const { type: any, struct, union } = fc.letrec<{ type: Type; array: Type; struct: Type; union: Type; member: Member }>((
  tie,
) => ({
  type: fc.oneof(
    { maxDepth: 3 },
    integer,
    bool,
    float,
    pointer,
    enumeration,
    text,
    bytes,
    tie("array"),
    tie("struct"),
    tie("union"),
  ),
  array: fc.record({ type: tie("type"), length: fc.integer({ min: 0, max: 4 }) }).filter(({ type }) => type.size !== 1)
    .map(
      ({ type, length }) => ({
        size: type.size * length,
        hasBool: type.hasBool === true,
        write: (w) => w.array(type.write(w), length),
        values: fc.array(type.values, { minLength: length, maxLength: length }),
      }),
    ),
  member: fc.record({
    type: tie("type"),
    gap: fc.integer({ min: 0, max: 9 }),
    bits: fc.integer({ min: 0, max: 128 }),
    wrapping: fc.constantFrom("none", "none", "typedef", "const", "anonymous"),
  }),
  struct: fc.array(tie("member"), { maxLength: 6 }).map((members) => composite("struct", members)),
  union: fc.array(tie("member").filter(({ type }) => !type.hasBool), { minLength: 1, maxLength: 4 })
    .map((members) => composite("union", members)),
}));

const type: fc.Arbitrary<Type> = fc.oneof(struct, union, any);

function composite(kind: "struct" | "union", members: readonly Member[]): Type {
  let at = 0, largest = 0;
  const placed = members.map(({ type, gap, bits, wrapping }, i) => {
    const field = type.field !== undefined && bits > 0 && bits <= 8 * type.size ? bits : 0;
    const start = kind === "union" ? 0 : at + gap, offset = field > 0 ? start : Math.ceil(start / 8) * 8;
    at = offset + (field || 8 * type.size);
    largest = Math.max(largest, at);
    const write = (w: BtfWriter): WrittenMember => {
      const plain = type.write(w);
      if (wrapping === "anonymous" && field === 0) {
        return ["", w.struct("struct", "", type.size, [[`m${i}`, plain, 0]]), offset];
      }
      return [
        `m${i}`,
        wrapping === "typedef" || wrapping === "const" ? w.refer(wrapping, plain) : plain,
        offset,
        field,
      ];
    };
    return { write, values: field > 0 ? type.field!(field) : type.values };
  });
  const one = ({ values }: { values: fc.Arbitrary<unknown> }, i: number) =>
    values.map((value) => ({ [`m${i}`]: value }));
  return {
    size: Math.ceil(largest / 8),
    hasBool: members.some(({ type }) => type.hasBool),
    write: (w) => w.struct(kind, kind, Math.ceil(largest / 8), placed.map(({ write }) => write(w))),
    values: kind === "union"
      ? fc.oneof(...placed.map(one))
      : fc.record(Object.fromEntries(placed.map(({ values }, i) => [`m${i}`, values]))),
  };
}

/** The bytes of a type's BTF, and its codec. */
function compiled({ write }: Type): { btf: Uint8Array<ArrayBuffer>; codec: Codec } {
  const writer = new BtfWriter(), id = write(writer), btf = writer.bytes();
  return { btf, codec: new Btf(btf).codec(id) };
}

/** What was read says all that was written; of a union it says more. */
function says(read: unknown, written: unknown): void {
  if (
    typeof written !== "object" || written === null || ArrayBuffer.isView(written) ||
    Array.isArray(written) && written.length === 0
  ) {
    return assertEquals(read, written);
  }
  if (Array.isArray(written)) assertEquals((read as unknown[]).length, written.length);
  for (const [key, value] of Object.entries(written)) says((read as Record<string, unknown>)[key], value);
}

Deno.test("what is written reads the same", () => {
  const cases = type.chain((type) => fc.tuple(fc.constant(type), type.values));
  fc.assert(
    fc.property(cases, ([type, value]) => {
      const { codec } = compiled(type);
      assertEquals(codec.size, type.size);
      says(codec.decode(codec.encode(value)), value);
    }),
    { numRuns: TYPES, seed: SEED },
  );
});

Deno.test("what any bytes read as can be written, and reads the same", () => {
  const cases = type.chain((type) => {
    return fc.tuple(fc.constant(type), fc.uint8Array({ minLength: type.size, maxLength: type.size }));
  });
  fc.assert(
    fc.property(cases, ([type, bytes]) => {
      const { codec } = compiled(type), value = codec.decode(bytes);
      assertEquals(codec.decode(codec.encode(value)), value);
      assertEquals(codec.encode(codec.decode(codec.encode(value))), codec.encode(value));
    }),
    { numRuns: TYPES, seed: SEED },
  );
});

Deno.test("any value is written, or refused by a TypeError or RangeError that names it", () => {
  const cases = type.chain((type) =>
    fc.tuple(fc.constant(type), fc.anything({ withBigInt: true, withTypedArray: true }))
  );
  fc.assert(
    fc.property(cases, ([type, value]) => {
      const { codec } = compiled(type);
      try {
        codec.encode(value);
      } catch (error) {
        assert(error instanceof TypeError || error instanceof RangeError, String(error));
        assert(error.message.startsWith("value"), error.message);
      }
    }),
    { numRuns: TYPES, seed: SEED },
  );
});

Deno.test("any BTF gives an answer or a typed error", () => {
  const mutations = fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 127, 255))), {
    minLength: 1,
    maxLength: 8,
  });
  const cases = fc.tuple(type, mutations, fc.uint8Array({ minLength: 200, maxLength: 200 }));
  fc.assert(
    fc.property(cases, ([type, changes, bytes]) => {
      const { btf } = compiled(type);
      for (const [at, value] of changes) btf[at % 3 === 0 ? at % btf.length : 24 + at % (btf.length - 24)] = value;
      answers(() => {
        const types = new Btf(btf);
        types.find("int4");
        types.find("struct");
        for (let id = 0; id <= types.count; id++) {
          answers(() => types.variables(id));
          answers(() => types.describe(id));
          answers(() => {
            const codec = types.codec(id);
            if (codec.size > 200) return answers(() => codec.decode(bytes));
            assertEquals(
              codec.decode(codec.encode(codec.decode(bytes.subarray(0, codec.size)))),
              codec.decode(bytes.subarray(0, codec.size)),
            );
          });
        }
      });
    }),
    { numRuns: TYPES, seed: SEED },
  );
});

function answers(question: () => void): void {
  try {
    question();
  } catch (error) {
    const isTyped = error instanceof TypeError || error instanceof RangeError ||
      error instanceof Deno.errors.InvalidData;
    assert(isTyped && !/undefined|not a function|bounds|call stack/.test(error.message), (error as Error).stack);
  }
}
