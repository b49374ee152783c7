/** The cookies that programs see. */
import { assertEquals } from "@std/assert";
import { type AttachTarget, BpfMap, Link, Program, type ProgramLoadOptions } from "../../mod.ts";
import { Victim } from "../fixture/place/victim.ts";
import { add, assemble, call, copy, exit, loadMap, set, store } from "../fixture/program/assembler.ts";
import { kernelTest, type Requirements } from "../fixture/run/kernel.ts";
import { spin } from "../fixture/run/runs.ts";

const GET_ATTACH_COOKIE = 174, MAP_UPDATE_ELEM = 2;

/** A program that notes the cookie of each link that it runs for. */
export class CookieReader implements Disposable {
  readonly #map: BpfMap = BpfMap.create({ type: "hash", keySize: 8, valueSize: 8, maxEntries: 64 });
  readonly program: Program;

  constructor(options: Omit<ProgramLoadOptions, "instructions">) {
    const instructions = assemble(
      call(GET_ATTACH_COOKIE),
      store(10, -8, 0),
      ...loadMap(1, this.#map.fd),
      copy(2, 10),
      add(2, -8), // the key
      copy(3, 2), // the value
      set(4, 0),
      call(MAP_UPDATE_ELEM),
      set(0, 0),
      exit,
    );
    this.program = Program.load({ ...options, instructions });
  }

  /** The cookies seen so far, ascending. */
  seen(): bigint[] {
    return [...this.#map.keys()].map((key) => new DataView(key.buffer, key.byteOffset).getBigUint64(0, true))
      .sort((a, b) => a < b ? -1 : 1);
  }

  /** Unloads it. */
  [Symbol.dispose](): void {
    this.program.close();
    this.#map.close();
  }
}

const COOKIE = 0xfedcba9876543210n;

/** Registers the test that a cookie reaches the program and comes back in the info. A process of the victim provokes it. */
export function testCookie(
  name: string,
  requirements: Requirements,
  make: (victim: Victim, cookie: bigint) => [Omit<ProgramLoadOptions, "instructions">, AttachTarget],
): void {
  kernelTest(`${name}: the program and the info see the cookie`, requirements, () => {
    using victim = new Victim();
    const [options, target] = make(victim, COOKIE);
    using reader = new CookieReader(options);
    using link = Link.attach(reader.program, target) as Link<"perf_event">;
    victim.run();
    for (let i = 0; i < 200 && reader.seen().length === 0; i++) spin(5);
    assertEquals(reader.seen(), [COOKIE]);
    const info = link.info();
    if ("cookie" in info) assertEquals(info.cookie, COOKIE); // told since 6.9
  });
}
