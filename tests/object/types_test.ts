/**
 * `bpflink gen`: what it writes is what the objects have, and `deno check` refuses what they have not: this file has
 * failed if it does not compile.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BpfObject, generateTypes, type TypedMap } from "../../lib/object/mod.ts";
import { BpfError } from "../../mod.ts";
import { bpflink } from "../fixture/process/bpflink.ts";
import { objectPath } from "./build.ts";
import type { Event, Typed } from "./generated/typed.ts";
import { objectTest } from "./run.ts";

type Typing = (object: BpfObject<Typed>) => unknown;

/** None of it is called. */
const passes: Readonly<Record<string, Typing>> = {
  open: () => BpfObject.load<Typed>("f", { globals: { limits: { packets: 5, port: 9, enabled: true } } }),
  options: () => BpfObject.open<Typed>("f", { maps: { flows: { maxEntries: 4 } }, programs: ["count"] }),
  program: (object) => object.program("count"),
  global: ({ globals }): bigint => globals.packets,
  enumByName: ({ globals }) => globals.over_limit = "PASS",
  enumByNumber: ({ globals }) => globals.over_limit = 7,
  copyOfStruct: ({ globals }): Typed["globals"]["limits"] => ({ ...globals.limits, enabled: false }),
  set: (object) =>
    object.map("flows").set(
      { address: 1, port: 2, protocol: 17, unused: 0 },
      { packets: 1n, bytes: 0n, mac: new Uint8Array(6) },
    ),
  entries: (object): number[] => [...object.map("flows")].map(([{ port }, { packets }]) => port + Number(packets)),
  events: async (object): Promise<Event[]> => {
    const seen: Event[] = [];
    for await (const event of object.map("events").events("event")) if (event.kind === "OPEN") seen.push(event);
    return seen;
  },
  records: async (object): Promise<Uint8Array[]> => await Array.fromAsync(object.map("events").events()),
  oneMemberOfUnion: (object) => object.map("addresses").set(0, [{ v4: 1 }, { v6: new Uint8Array(16) }]),
  membersOfUnion: (object): number[] => object.map("addresses").get(0)!.map(({ v4 }) => v4),
  unionAgain: (object) => object.map("addresses").set(0, object.map("addresses").get(0)!),
  unionInGlobal: ({ globals }) => globals.peer = { family: 2, address: { v4: 1 } },
  unionOfGlobal: ({ globals }): number => globals.peer.address.v4 + globals.peer.family,
  unionInOption: () => BpfObject.load<Typed>("f", { globals: { peer: { family: 2, address: { v4: 1 } } } }),
  anyMapOfIt: (object): TypedMap => object.map("flows"),
  reuse: (object) => BpfObject.open<Typed>("f", { maps: { flows: { reuse: object.map("flows") } } }),
  unknownObject: () => BpfObject.load("f").map("anything").get({ any: "thing" }).whatever,
};

const fails: Readonly<Record<string, Typing>> = {
  // @ts-expect-error no such program
  program: (object) => object.program("counts"),
  // @ts-expect-error no such map
  map: (object) => object.map("flow"),
  // @ts-expect-error no such global variable
  global: ({ globals }) => globals.packet,
  // @ts-expect-error a bigint
  numberForBigint: ({ globals }) => globals.packets = 1,
  // @ts-expect-error no such value
  enumByName: ({ globals }) => globals.over_limit = "PASSED",
  // @ts-expect-error .rodata
  constant: ({ globals }) => globals.limits = { packets: 1, port: 1, enabled: false },
  // @ts-expect-error a member is read-only: a copy is changed, then assigned
  member: ({ globals }) => globals.limits.enabled = false,
  // @ts-expect-error no such member
  option: () => BpfObject.load<Typed>("f", { globals: { limits: { packets: 5, port: 9, enabled: true, on: 1 } } }),
  // @ts-expect-error a member is missing
  missing: () => BpfObject.load<Typed>("f", { globals: { limits: { packets: 5, port: 9 } } }),
  // @ts-expect-error no such program
  programs: () => BpfObject.load<Typed>("f", { programs: ["counts"] }),
  // @ts-expect-error no such map
  maps: () => BpfObject.load<Typed>("f", { maps: { flow: { maxEntries: 1 } } }),
  // @ts-expect-error a member of the key is missing
  key: (object) => object.map("flows").get({ address: 1, port: 2, protocol: 17 }),
  // @ts-expect-error a member of the key is misspelt
  keyMember: (object) => object.map("flows").get({ address: 1, ports: 2, protocol: 17, unused: 0 }),
  // @ts-expect-error no such member
  valueMember: (object) => object.map("flows").get({ address: 1, port: 2, protocol: 17, unused: 0 })?.packet,
  // @ts-expect-error bytes, not text
  text: (object) => object.map("flows").get({ address: 1, port: 2, protocol: 17, unused: 0 })!.mac.split(":"),
  // @ts-expect-error an array of one for each CPU
  perCpu: (object) => object.map("addresses").set(0, { v4: 1 }),
  // @ts-expect-error one member of a union
  noMemberOfUnion: (object) => object.map("addresses").set(0, [{}]),
  // @ts-expect-error no such member of a union
  memberOfUnion: (object) => object.map("addresses").set(0, [{ v5: 1 }]),
  // @ts-expect-error no such member of a union
  unionOfGlobal: ({ globals }) => globals.peer.address.v5,
  // @ts-expect-error one member of a union
  unionInGlobal: ({ globals }) => globals.peer = { family: 2, address: {} },
  // @ts-expect-error a member is missing beside the union
  besideUnion: ({ globals }) => globals.peer = { address: { v4: 1 } },
  // @ts-expect-error no such member of a union
  unionInOption: () => BpfObject.load<Typed>("f", { globals: { peer: { family: 2, address: { v5: 1 } } } }),
  // @ts-expect-error a ring buffer has no elements
  ring: (object) => object.map("events").get(0),
  // @ts-expect-error no such type
  events: (object) => object.map("events").events("events"),
  eventMember: async (object) => {
    // @ts-expect-error no such member
    for await (const { process } of object.map("events").events("event")) console.log(process);
  },
  eventKind: async (object) => {
    // @ts-expect-error no such value
    for await (const { kind } of object.map("events").events("event")) console.log(kind === "OPENED");
  },
};

Deno.test("gen: what users write with generated types passes the compiler, and typing errors do not", () => {
  for (const use of Object.values({ ...passes, ...fails })) assert(use);
});

objectTest("gen: writes the same again, by the command too", {}, async () => {
  const path = objectPath("typed"), text = Deno.readTextFileSync(new URL("generated/typed.ts", import.meta.url));
  assertEquals(generateTypes(path), text);
  assertEquals(generateTypes(new URL(`file://${path}`)), text);
  assertEquals(await bpflink(["gen", path]), { code: 0, output: text, errors: "" });
  const { code, output } = await bpflink(["gen", "--json", path]);
  assertEquals([code, JSON.parse(output)], [0, { typescript: text }]);
  assertEquals(generateTypes(path, ["verdict"]).includes("verdict: Verdict;"), true);
});

objectTest("gen: says what is no object and what is no type", {}, async () => {
  assertThrows(() => generateTypes(objectPath("typed"), ["evnt"]), TypeError, 'no type "evnt"; did you mean "event"?');
  assertThrows(
    () => generateTypes(objectPath("typed"), "event" as never),
    TypeError,
    "types must be an array of names",
  );
  assertThrows(
    () => generateTypes(objectPath("typed"), [3 as never]),
    TypeError,
    "types[0] must be a string, not number",
  );
  assertThrows(() => generateTypes(3 as never), TypeError, "source must be a path, a file: URL or bytes, not number");
  assertThrows(() => generateTypes(new Uint8Array(100)), BpfError, "it is no ELF file");
  const refused = async (args: readonly string[], status: number, message: string) => {
    const { code, output, errors } = await bpflink(["gen", ...args]);
    assertEquals([code, output, errors.includes(message)], [status, "", true], errors);
  };
  await refused(["/nothing.bpf.o"], 1, 'Cannot open object "/nothing.bpf.o": there is no such file');
  await refused(["/proc/self/exe"], 1, "it is");
  await refused([objectPath("typed"), "x"], 2, 'no type "x"');
  await refused([], 2, "the arguments of gen are FILE.bpf.o [TYPE]...");
});

objectTest("gen: at run time the object's own BTF decides", {}, () => {
  interface Wrong {
    programs: "counts";
    maps: { flows: { key: number; value: string }; flow: { key: number; value: number } };
    globals: { packets: number; packet: number };
    types: { events: { pid: number } };
  }
  using object = BpfObject.load<Wrong>(objectPath("typed"));
  assertThrows(() => object.program("counts"), TypeError, 'did you mean "count"?');
  assertThrows(() => object.map("flow"), TypeError, 'did you mean "flows"?');
  assertThrows(
    () => object.map("flows").get(1),
    TypeError,
    "key must be an object with address, port, protocol, unused",
  );
  assertThrows(() => object.globals.packets = 1, TypeError, "globals.packets must be a bigint, not number: 1n");
  assertThrows(() => object.globals.packet, TypeError, 'did you mean "packets"?');
});
