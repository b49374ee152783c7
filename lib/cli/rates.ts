/** How often programs run each second, and how much of a processor they take. */
import { type Runs, runsOf } from "../runs.ts";

/** What a program did between the last two samples. */
export interface Rate {
  /** Runs per second. */
  readonly perSecond: number;
  /** The part of one processor's time: 1 is all of it. */
  readonly load: number;
}

/** Samples of what the kernel counts. */
export class Rates {
  #last = new Map<number, Runs>();
  #rates = new Map<number, Rate>();
  #at = 0;

  /** Looks at programs; the rates are those since the last look. */
  sample(programIds: Iterable<number>, now: number = performance.now(), look: typeof runsOf = runsOf): void {
    const runs = new Map<number, Runs>(), rates = new Map<number, Rate>(), seconds = (now - this.#at) / 1000;
    for (const id of new Set(programIds)) {
      const is = look(id);
      if (is === undefined) continue;
      runs.set(id, is);
      const was = this.#last.get(id); // what is looked at for the first time may have run long before
      if (was === undefined || seconds <= 0) continue;
      rates.set(id, {
        perSecond: Number(is.count - was.count) / seconds,
        load: Number(is.timeNs - was.timeNs) / 1e9 / seconds,
      });
    }
    this.#last = runs;
    this.#rates = rates;
    this.#at = now;
  }

  /** The rate of a program; undefined before two looks, or if nothing is counted of it. */
  of(programId: number | undefined): Rate | undefined {
    return programId === undefined ? undefined : this.#rates.get(programId);
  }
}
