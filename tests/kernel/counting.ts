/** Programs that leave traces in maps: how often they ran, with which cookie, in which order. */
import { BpfMap, Program, type ProgramLoadOptions, type ProgramTypeName } from "../../mod.ts";
import { add, assemble, call, copy, exit, load, loadMap, mapValue, set, store } from "../fixture/program/assembler.ts";

const RINGBUF_OUTPUT = 130, GET_ATTACH_COOKIE = 174;
const COUNT = 0, COOKIE = 8; // where in the tally's value

/** What programs tell by a map. */
export class Tally implements Disposable {
  readonly map: BpfMap = BpfMap.create({ type: "array", valueSize: 16, maxEntries: 1, name: "tally" });

  /** How often programs ran. */
  get count(): bigint {
    return this.#read(COUNT);
  }

  /** The cookie of the last run. */
  get cookie(): bigint {
    return this.#read(COOKIE);
  }

  #read(offset: number): bigint {
    return new DataView(this.map.lookup(new Uint8Array(4))!.buffer).getBigUint64(offset, true);
  }

  [Symbol.dispose](): void {
    this.map.close();
  }
}

type Options = Omit<ProgramLoadOptions, "instructions" | "type"> & {
  /** What the program returns; 0 if absent. */
  answer?: number;
};

/** A program that counts its runs in a tally's map. */
export function countingProgram(type: ProgramTypeName, map: BpfMap, { answer = 0, ...options }: Options = {}): Program {
  return Program.load({ ...options, type, instructions: assemble(...count(map), set(0, answer), exit) });
}

/** A program that counts its runs, and leaves its link's cookie. */
export function cookieProgram(type: ProgramTypeName, map: BpfMap, { answer = 0, ...options }: Options = {}): Program {
  const instructions = assemble(
    call(GET_ATTACH_COOKIE), // with the context still in r1
    copy(6, 0),
    ...count(map),
    store(1, COOKIE, 6),
    set(0, answer),
    exit,
  );
  return Program.load({ ...options, type, instructions });
}

/** A program of type sched_cls that writes 0, 1, 2, … into a ring buffer, a record for each run. */
export function recordingProgram(tally: BpfMap, ring: BpfMap): Program {
  return Program.load({
    type: "sched_cls",
    instructions: assemble(
      ...mapValue(1, tally.fd),
      load(2, 1, COUNT),
      store(10, -8, 2),
      add(2, 1),
      store(1, COUNT, 2),
      ...intoRing(ring),
      set(0, 0),
      exit,
    ),
  });
}

/** Writes a word into a ring buffer: what the program left at the top of its stack. */
export function intoRing(ring: BpfMap): Parameters<typeof assemble> {
  return [...loadMap(1, ring.fd), copy(2, 10), add(2, -8), set(3, 8), set(4, 0), call(RINGBUF_OUTPUT)];
}

/** Runs a program of the network without attaching it. */
export function testRun(program: Program, times: number): void {
  program.run({ data: new Uint8Array(64), repeat: times });
}

/** Adds one to the count; leaves r1 at the map's value. */
function count(map: BpfMap): Parameters<typeof assemble> {
  return [...mapValue(1, map.fd), set(2, 1), [0xdb, 1, 2, COUNT, 0]]; // lock *(u64 *)(r1 + COUNT) += r2
}
