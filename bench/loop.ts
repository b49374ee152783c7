/** How long the event loop stands still while links are made and ended that wait for the kernel. */
import { type AttachTargets, Link, type Program } from "../mod.ts";
import { addPair, deleteInterface } from "../tests/fixture/place/rtnetlink.ts";
import { tcx, xdp } from "../tests/fixture/program/programs.ts";
import { inOwnNetns } from "../tests/fixture/run/own.ts";
import { delay } from "../tests/fixture/run/wait.ts";
import { median, type Row, type Rows } from "./table.ts";

const LINKS = 8, RUNS = 9;

/** A program, and what it is to be attached to. */
type Pair = readonly [Program, AttachTargets["tcx"] | AttachTargets["xdp"]];

/** A row for each type of link. */
export const loop: Record<string, Rows> = {
  loop_tcx: () => compare("tcx links on lo", () => [tcx(), { type: "tcx", device: "lo", direction: "ingress" }]),
  async *loop_xdp(): AsyncGenerator<Row> {
    using devices = new Devices();
    yield* compare("xdp links on veth", (i) => [xdp(), { type: "xdp", device: devices.names[i]! }]);
  },
};

async function* compare(links: string, pair: (i: number) => Pair): AsyncGenerator<Row> {
  if (!inOwnNetns()) throw new Error("This may run in a network namespace of its own only");
  const pairs = Array.from({ length: LINKS }, (_, i) => pair(i));
  const figure = await typicalGap(() => atOnce(pairs));
  yield { what: `event loop's worst gap, ${LINKS} ${links}`, figure, unit: "ms", bound: 8 };
  yield { what: "  with the synchronous forms", figure: await typicalGap(() => inTurn(pairs)), unit: "ms" };
  for (const [program] of pairs) program.close();
}

/** All at once, and none on the event loop. */
async function atOnce(pairs: readonly Pair[]): Promise<void> {
  await Promise.all(pairs.map(async ([program, target]) => {
    await using _link = await Link.attachAsync(program, target);
  }));
}

/** One after the other, with a turn of the loop after each call. */
async function inTurn(pairs: readonly Pair[]): Promise<void> {
  for (const [program, target] of pairs) {
    const link = Link.attach(program, target);
    await delay(0);
    link.close();
    await delay(0);
  }
}

async function typicalGap(work: () => Promise<void>): Promise<number> {
  const gaps: number[] = [];
  for (let run = -1; run < RUNS; run++) {
    const gap = await worstGap(work);
    if (run >= 0) gaps.push(gap); // the first compiles the functions
  }
  return median(gaps);
}

/** Milliseconds between two turns of the event loop that were furthest apart. */
async function worstGap(work: () => Promise<void>): Promise<number> {
  let worst = 0, last = performance.now();
  const look = () => {
    const now = performance.now();
    worst = Math.max(worst, now - last);
    last = now;
  };
  const timer = setInterval(look, 0);
  await work();
  await delay(0);
  look();
  clearInterval(timer);
  return worst;
}

/** Pairs of virtual network interfaces. */
class Devices implements Disposable {
  readonly names: readonly string[] = Array.from({ length: LINKS }, (_, i) => `bench${i}`);

  constructor() {
    for (let i = 0; i < LINKS; i += 2) addPair("veth", this.names[i]!, this.names[i + 1]!);
  }

  [Symbol.dispose](): void {
    for (let i = 0; i < LINKS; i += 2) deleteInterface(this.names[i]!);
  }
}
