/** Compiled objects: loading against libbpf in C, and what types cost over bytes. */
import { BpfObject } from "../lib/object/mod.ts";
import { objectPath, programPath, whyNoObjects } from "../tests/object/build.ts";
import { median, type Row, type Rows } from "./table.ts";
import { Twin } from "./twin.ts";

const LOADS = 61, ROUNDS = 101;
/** Records of a round, which the ring has room for; calls of a round. */
const RECORDS = 1000, CALLS = 1000;
/** Where the whole takes less, what counts is what comes on top. */
const SHORT_MS = 2;

/** Objects of tests/object/c and tests/examples: what each asks of a loader is another thing. */
const OBJECTS = {
  syscalls: "one program, no map",
  globals: "globals of all sections",
  maps: "ten maps",
  ring: "two ring buffers",
  core: "CO-RE, the kernel's BTF",
  usdt: "USDT, 160 instructions",
  traffic: "socket storage, three programs",
} as const;

/** Rows of `./object`. */
export const object: Record<string, Rows> = {
  ...Object.fromEntries(
    Object.entries(OBJECTS).map(([name, what]) => [
      `object_load_${name}`,
      () => compareLoads(what, objectPath(name)),
    ]),
  ),
  object_event: async function* (): AsyncGenerator<Row> {
    if (isReady()) yield await events();
  },
  object_lookup: function* (): Generator<Row> {
    if (isReady()) yield lookups();
  },
  object_global: function* (): Generator<Row> {
    if (isReady()) yield* globals();
  },
};

/** The names of those that take turns with C on one processor. */
export const objectTurns: readonly string[] = Object.keys(object).filter((name) => name.startsWith("object_load"));

function isReady(): boolean {
  const why = whyNoObjects();
  if (why !== undefined) console.log(`Skipping the rows of objects: ${why}`);
  return why === undefined;
}

async function* compareLoads(what: string, path: string): AsyncGenerator<Row> {
  const reference = programPath("reference");
  if (reference === undefined) {
    return console.log("Skipping loads: reference.c is not compiled; install gcc and libelf-dev");
  }
  await using twin = new Twin(reference, "time", path, "1");
  const times: { ours: number; inC: number }[] = [];
  for (let round = -5; round < LOADS; round++) {
    const inC = await twin.round("load", 1) / 1e6;
    const start = performance.now();
    BpfObject.load(path).close();
    const ours = performance.now() - start;
    if (round >= 0) times.push({ ours, inC });
  }
  const inC = median(times.map(({ inC }) => inC)), ours = median(times.map(({ ours }) => ours));
  const ratio = median(times.map(({ ours, inC }) => ours / inC));
  const more = median(times.map(({ ours, inC }) => ours - inC));
  const row = { what: `load: ${what}`, against: `C ${inC.toFixed(2)} ms`, ours: `${ours.toFixed(2)} ms` };
  if (inC >= SHORT_MS) yield { ...row, figure: ratio, unit: "x", bound: 1.15 };
  else yield { ...row, figure: more, unit: "ms", bound: 0.5, note: `${ratio.toFixed(2)}x` };
}

/** A record as a value over one as bytes. */
async function events(): Promise<Row> {
  using object = BpfObject.load(objectPath("records"));
  const map = object.map("events"), program = object.program("write_event"), data = new Uint8Array(64);
  const round = async (type?: string) => {
    program.run({ data, repeat: RECORDS });
    const start = performance.now();
    let taken = 0;
    for await (const _ of type === undefined ? map.events() : map.events(type)) if (++taken === RECORDS) break;
    return (performance.now() - start) * 1e6 / RECORDS;
  };
  const times: { bytes: number; typed: number }[] = [];
  for (let i = -20; i < ROUNDS; i++) {
    const bytes = await round(), typed = await round("event");
    if (i >= 0) times.push({ bytes, typed });
  }
  return over("a typed event, over its bytes", times, 2);
}

/** A struct by a struct of a hash over bytes by bytes. */
function lookups(): Row {
  using object = BpfObject.load(objectPath("maps"));
  const typed = object.map("hash"), { map } = typed;
  const key = { address: 1, port: 2, protocol: 3, unused: 0 };
  typed.set(key, { packets: 1n, bytes: 2n });
  const bytes = Uint8Array.from([...map.keys()][0]!);
  const times: { bytes: number; typed: number }[] = [];
  for (let i = -20; i < ROUNDS; i++) {
    const raw = each(() => map.lookup(bytes)), value = each(() => typed.get(key));
    if (i >= 0) times.push({ bytes: raw, typed: value });
  }
  return over("a typed lookup, over a raw one", times, 3);
}

function* globals(): Generator<Row> {
  using object = BpfObject.load(objectPath("globals"));
  const { globals } = object, read: number[] = [], written: number[] = [];
  for (let i = -20; i < ROUNDS; i++) {
    const reading = each(() => globals.packets), writing = each(() => globals.packets = 5n);
    if (i < 0) continue;
    read.push(reading);
    written.push(writing);
  }
  yield { what: "reading a global of 64 bits", figure: median(read), unit: "ns" };
  yield { what: "writing it", figure: median(written), unit: "ns" };
}

function each(call: () => unknown): number {
  const start = performance.now();
  for (let i = 0; i < CALLS; i++) call();
  return (performance.now() - start) * 1e6 / CALLS;
}

function over(what: string, times: { bytes: number; typed: number }[], bound: number): Row {
  const bytes = median(times.map(({ bytes }) => bytes)), typed = median(times.map(({ typed }) => typed));
  const more = median(times.map(({ bytes, typed }) => typed - bytes)) / 1000;
  return {
    what,
    against: `bytes ${bytes.toFixed(0)} ns`,
    ours: `${typed.toFixed(0)} ns`,
    figure: more,
    unit: "us",
    bound,
  };
}
