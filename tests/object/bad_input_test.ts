/** Objects that are broken, foreign or do not fit what is there: typed errors that say why, and nothing is left behind. */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertThrows } from "@std/assert";
import { BpfError } from "../../lib/error.ts";
import { BpfMap } from "../../lib/map.ts";
import { BpfObject, type OpenOptions } from "../../lib/object/mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { objectPath, objects, programPath, whyNoObjects } from "./build.ts";
import {
  bitFieldOfNothing,
  boundaries,
  functionsThatReturnNothingKnown,
  namesOfThemselves,
  offsetThatWraps,
  withMachine,
  withSectionBeyond,
} from "./broken.ts";

const needs = { missing: whyNoObjects() };
const bytesOf = (name: string) => Deno.readFileSync(objectPath(name));

kernelTest("no object at all: empty, text, zeroes, random, a huge file", needs, () => {
  for (const length of [0, 1, 4, 63, 64, 1 << 26]) refusedAtOpen(new Uint8Array(length));
  refusedAtOpen(new TextEncoder().encode("#!/bin/sh\n".repeat(100)));
  refusedAtOpen(crypto.getRandomValues(new Uint8Array(65536)));
  const huge = new Uint8Array(1 << 26);
  huge.set(bytesOf("maps")); // an object, and zeroes after it
  BpfObject.open(huge).close();
});

kernelTest("an object that ends at any of its sections, or one byte before or after", needs, () => {
  for (const name of ["maps", "core", "struct_ops", "usdt"]) {
    const bytes = bytesOf(name);
    for (const end of boundaries(bytes)) if (end < bytes.length) refusedAtOpen(bytes.slice(0, end));
  }
});

kernelTest(
  "programs for other processors: an executable, an object for x86_64, one of the other byte order",
  needs,
  () => {
    const program = programPath("mutate");
    if (program !== undefined) refusedAtOpen(Deno.readFileSync(program));
    const EM_X86_64 = 62, EM_AARCH64 = 183;
    for (const machine of [EM_X86_64, EM_AARCH64, 0xffff]) refusedAtOpen(withMachine(bytesOf("maps"), machine));
    assertMatch(refusal(bytesOf("big_endian")).message, /big-endian/);
  },
);

kernelTest("the faults of libbpf 1.7 that mutated objects found: each ended the process, or never ended", needs, () => {
  refusal(offsetThatWraps(bytesOf("struct_ops"), "object_cc")); // read out of bounds
  refusal(bitFieldOfNothing(bytesOf("core"))); // divided by zero
  refusal(functionsThatReturnNothingKnown(bytesOf("kfuncs")), { programs: ["acquire"] }); // read at NULL
  // looked for ever; now its BTF counts as broken, and libbpf leaves that of an object without maps out
  BpfObject.open(namesOfThemselves(bytesOf("core"))).close();
  refusal(namesOfThemselves(bytesOf("maps")));
});

kernelTest("without BTF, in the way of old, for nothing: the error says so", needs, () => {
  assertMatch(refusal(bytesOf("no_btf_maps")).message, /BTF/);
  assertMatch(refusal(bytesOf("old_maps")).message, /maps/);
  assertMatch(refusal(bytesOf("unknown_section")).message, /no_such_kind/);
  assertMatch(refusal(bytesOf("no_license"), { programs: ["refused"] }).message, /GPL/);
  assertMatch(refusal(bytesOf("core_missing")).message, /no_such_member/);
});

kernelTest(
  "a program that the verifier refuses: its line of C is in the message, all of the log in the error",
  needs,
  () => {
    const { message, log, reason } = refusal(bytesOf("verbose"), { programs: ["unchecked"] });
    assertMatch(message, /unchecked/);
    assertMatch(message, /return \*value;/);
    assertMatch(message, /map_value_or_null|mem access/);
    assertEquals(reason, "invalid");
    assertMatch(log!, /^0: /m);
    assertMatch(log!, /processed \d+ insns/);
    assertMatch(refusal(bytesOf("verbose"), { programs: ["endless"] }).message, /endless/);
    BpfObject.load(bytesOf("verbose"), { programs: ["fine"] }).close();
  },
);

kernelTest("the BTF of another kernel, of none, or no BTF", needs, () => {
  const scratch = Deno.makeTempDirSync();
  try {
    const empty = `${scratch}/empty`, text = `${scratch}/text`;
    // a header, no types, strings of one NUL
    const header = new DataView(new ArrayBuffer(25));
    header.setUint16(0, 0xeb9f, true);
    [1, 0].forEach((byte, i) => header.setUint8(2 + i, byte));
    [24, 0, 0, 0, 1].forEach((word, i) => header.setUint32(4 + i * 4, word, true));
    Deno.writeFileSync(empty, new Uint8Array(header.buffer));
    Deno.writeTextFileSync(text, "no BTF");
    assertMatch(refusal(bytesOf("core"), { kernelBtf: empty }).message, /task_struct/);
    assertMatch(refusal(bytesOf("core"), { kernelBtf: text }).message, /kernelBtf|BTF/);
    assertMatch(refusal(bytesOf("core"), { kernelBtf: `${scratch}/absent` }).message, /absent|BTF/);
    BpfObject.load(bytesOf("maps"), { kernelBtf: empty }).close(); // has no use for it
  } finally {
    Deno.removeSync(scratch, { recursive: true });
  }
});

kernelTest("a map that is pinned with other sizes or of another type, or a pin that is no map", {
  ...needs,
  needs: ["bpffs"],
}, () => {
  for (const other of [{ valueSize: 16 }, { keySize: 8 }, { maxEntries: 99 }, { type: "array" }] as const) {
    using pins = new PinDirectory();
    using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 8, maxEntries: 16, ...other });
    map.pin(pins.pin("pinned_hash"));
    const error = refusal(bytesOf("pinned"), { pinDirectory: pins.path });
    assertEquals(error.reason, "mismatch", error.message);
    assertMatch(error.message, /pinned_hash/);
    assertEquals(pins.pins, ["pinned_hash"]);
  }
  using pins = new PinDirectory();
  {
    using object = BpfObject.load(bytesOf("globals"));
    object.program("use_globals").pin(pins.pin("pinned_array"));
  }
  const error = refusal(bytesOf("pinned"), { pinDirectory: pins.path });
  assertMatch(error.message, /pinned_array/);
  assertEquals(pins.pins, ["pinned_array"]);
});

kernelTest("maps are pinned in no bpf file system, or in a directory that is not there", needs, () => {
  const scratch = Deno.makeTempDirSync();
  try {
    for (const directory of [scratch, `${scratch}/absent`]) {
      assertMatch(refusal(bytesOf("pinned"), { pinDirectory: directory }).message, /pin/);
      assertEquals([...Deno.readDirSync(directory)], []);
    }
  } finally {
    Deno.removeSync(scratch, { recursive: true });
  }
});

kernelTest("a USDT probe in executables that are cut off, or whose notes are beyond their end", {
  since: "5.15",
  missing: needs.missing ?? (programPath("probed") === undefined ? "needs lld" : undefined),
}, () => {
  using object = BpfObject.load(bytesOf("usdt"));
  const bytes = Deno.readFileSync(programPath("probed")!), path = Deno.makeTempFileSync();
  const attach = () => object.attach("probe", { path, provider: "demo", name: "step" });
  try {
    Deno.writeFileSync(path, withSectionBeyond(bytes.slice(), ".note.stapsdt"));
    assertThrows(attach, BpfError); // libbpf reads the notes without looking whether there are any
    for (const end of [0, 4, 64, bytes.length / 2, bytes.length - 1]) {
      Deno.writeFileSync(path, bytes.subarray(0, end));
      assertThrows(attach, BpfError);
    }
  } finally {
    Deno.removeSync(path);
  }
});

kernelTest("globals that are not there, or do not fit: before anything is loaded, by name", needs, () => {
  const wrong: [globals: Record<string, unknown>, message: RegExp][] = [
    [{ no_such: 1 }, /no_such/],
    [{ hidden: 1 }, /hidden/], // static
    [{ packets: -1n }, /packets/],
    [{ packets: 1n << 64n }, /packets/],
    [{ packets: "many" }, /packets/],
    [{ last_mark: 2 ** 31 }, /last_mark/],
    [{ last_mark: 1.5 }, /last_mark/],
    [{ name: "seventeen letters" }, /name/],
    [{ sizes: Array(9).fill(0n) }, /sizes/],
    [{ limits: { packets: 1, no_such: 2 } }, /limits|no_such/],
    [{ limits: { port: 70000 } }, /limits|port/],
    [{ limits: 5 }, /limits/],
    [{ over_limit: "NO_SUCH" }, /over_limit/],
  ];
  for (const [globals, message] of wrong) {
    const error = assertThrows(() => BpfObject.open(bytesOf("globals"), { globals } as OpenOptions));
    assert(
      error instanceof TypeError || error instanceof RangeError,
      `${JSON.stringify(Object.keys(globals))}: ${error}`,
    );
    assertMatch(error.message, message);
  }
});

kernelTest("options that name what is not there, or are of the wrong type", needs, () => {
  using taken = BpfMap.create({ type: "array", keySize: 4, valueSize: 4, maxEntries: 1 });
  const wrong: [options: unknown, message: RegExp][] = [
    [{ programs: ["no_such"] }, /no_such/],
    [{ programs: "use_maps" }, /programs/],
    [{ maps: { no_such: {} } }, /no_such/],
    [{ maps: { hash: { maxEntries: -1 } } }, /maxEntries/],
    [{ maps: { hash: { maxEntries: 0 } } }, /maxEntries/],
    [{ maps: { hash: { maxEntries: 2 ** 32 } } }, /maxEntries/],
    [{ maps: { hash: { size: 1 } } }, /size/],
    [{ maps: { hash: { reuse: 5 } } }, /reuse/],
    [{ pinDirectory: 5 }, /pinDirectory/],
    [{ kernelBtf: "a\0b" }, /kernelBtf/],
    [{ kconfig: {} }, /kconfig/],
    [{ nothing: 1 }, /nothing/],
    [5, /options/],
  ];
  for (const [options, message] of wrong) {
    const error = assertThrows(() => BpfObject.open(bytesOf("maps"), options as OpenOptions));
    assert(error instanceof TypeError || error instanceof RangeError, String(error));
    assertMatch(error.message, message);
  }
  for (const source of [undefined, null, 5, {}, "a\0b"]) {
    assertThrows(() => BpfObject.open(source as unknown as string), TypeError);
  }
  assertThrows(() => BpfObject.open("/no/such/file.bpf.o"), Deno.errors.NotFound);
  assertThrows(() => BpfObject.open("/"), BpfError);
  refusal(bytesOf("maps"), { maps: { hash: { reuse: taken } } });
  refusal(bytesOf("maps"), { maps: { hash: { create: false } } });
});

kernelTest(
  "a refused load leaves nothing, and what was refused is not tried again",
  { ...needs, needs: ["bpffs"] },
  () => {
    using pins = new PinDirectory();
    for (const name of objects()!.keys()) {
      try {
        BpfObject.load(bytesOf(name), { pinDirectory: pins.path }).close();
      } catch (error) {
        assertInstanceOf(error, BpfError, name);
      }
    }
    using object = BpfObject.open(bytesOf("core_missing"));
    assertThrows(() => object.load(), BpfError);
    assertThrows(() => object.load());
    assertThrows(() => object.program("read_missing"));
  },
);

/** The error of an object that cannot be opened, which must be the one class that errors are. */
function refusedAtOpen(bytes: Uint8Array<ArrayBuffer>): void {
  const error = assertThrows(() => BpfObject.open(bytes).close(), BpfError);
  assert(!/undefined|\[object/.test(error.message), error.message);
}

/** The error of one that cannot be opened or loaded. */
function refusal(bytes: Uint8Array<ArrayBuffer>, options: OpenOptions = {}): BpfError {
  return assertThrows(() => BpfObject.load(bytes, options).close(), BpfError);
}
