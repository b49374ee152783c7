/** The cookies that programs see. */
import { BpfMap, Program, type ProgramLoadOptions } from "../../mod.ts";
import { add, assemble, call, copy, exit, loadMap, set, store } from "../fixture/program/assembler.ts";

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
