/** Links that come and go together. */
import { kindOf } from "./check.ts";
import type { AttachOptions } from "./kind/attach.ts";
import type { AttachTargets, SourceOf, TargetType } from "./kind/mod.ts";
import type { AnyLink } from "./link.ts";
import { onAbort } from "./wait.ts";

/** One link of a group: what to attach, and where to. */
export type AttachEntry<K extends TargetType = TargetType> = {
  [P in K]: readonly [source: SourceOf<P>, target: AttachTargets[P]];
}[K];

/** Links that end as a whole, in reverse order; see {@linkcode Link.attachAll}. */
export interface LinkGroup extends Iterable<AnyLink>, Disposable, AsyncDisposable {
  /** The links in the order of their entries. */
  readonly links: readonly AnyLink[];
}

/** What a group needs of its members. */
type Member = Pick<AnyLink, "onClose" | "close" | "closeAsync">;

/** Attaches one entry after the other by `attach`; all or none. */
export function attachAll<E, M extends Member>(
  attach: (entry: E, options: AttachOptions) => M,
  entries: readonly E[],
  { signal, onClose }: AttachOptions,
  nameOf = (i: number): string => `entry ${i} of ${entries.length}`,
): Group<M> {
  const group = new Group<M>();
  signal?.throwIfAborted();
  entries.forEach((entry, i) => {
    try {
      group.links.push(attach(entry, { onClose }));
    } catch (error) {
      throw failed(nameOf(i), [error, ...group.undo()]);
    }
  });
  group.endOn(signal);
  return group;
}

/** {@linkcode attachAll}, each attached when the one before is. */
export async function attachAllAsync<E, M extends Member>(
  attach: (entry: E, options: AttachOptions) => Promise<M>,
  entries: readonly E[],
  { signal, onClose }: AttachOptions,
  nameOf = (i: number): string => `entry ${i} of ${entries.length}`,
): Promise<Group<M>> {
  const group = new Group<M>();
  signal?.throwIfAborted();
  for (const [i, entry] of [...entries].entries()) {
    try {
      group.links.push(await attach(entry, { onClose }));
    } catch (error) {
      throw failed(nameOf(i), [error, ...await group.undoAsync()]);
    }
    if (signal?.aborted) {
      const failures = await group.undoAsync();
      throw failures.length === 0 ? signal.reason : failed(nameOf(i), [signal.reason, ...failures]);
    }
  }
  group.endOn(signal);
  return group;
}

class Group<M extends Member> implements Iterable<M>, Disposable, AsyncDisposable {
  readonly links: M[] = [];
  #abort: Disposable | undefined;
  #failures: unknown[] = []; // of an end by signal, for the next one

  [Symbol.iterator](): Iterator<M> {
    return this.links.values();
  }

  [Symbol.dispose](): void {
    this.#abort?.[Symbol.dispose]();
    throwAll([...this.#failures.splice(0), ...this.#close()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort?.[Symbol.dispose]();
    throwAll([...this.#failures.splice(0), ...await this.#closeAsync()]);
  }

  /** Takes back what was attached so far, and returns what failed. */
  undo(): unknown[] {
    this.#detachAll();
    return this.#close();
  }

  undoAsync(): Promise<unknown[]> {
    this.#detachAll();
    return this.#closeAsync();
  }

  endOn(signal: AbortSignal | undefined): void {
    this.#abort = onAbort(signal, () => {
      this.#failures = this.undo();
    });
  }

  #detachAll(): void {
    for (const link of this.links) link.onClose = "detach";
  }

  #close(): unknown[] {
    const failures: unknown[] = [];
    for (const link of this.links.toReversed()) {
      try {
        link.close();
      } catch (error) {
        failures.push(error);
      }
    }
    return failures;
  }

  async #closeAsync(): Promise<unknown[]> {
    const failures: unknown[] = [];
    for (const link of this.links.toReversed()) {
      try {
        await link.closeAsync();
      } catch (error) {
        failures.push(error);
      }
    }
    return failures;
  }
}

/** Refuses what are no pairs. */
export function checkEntries(entries: readonly AttachEntry[]): void {
  if (!Array.isArray(entries)) throw new TypeError(`entries must be an array, not ${kindOf(entries)}`);
  entries.forEach((entry, i) => {
    if (!Array.isArray(entry) || entry.length !== 2) {
      throw new TypeError(`entries[${i}] must be a source and a target, [source, target]`);
    }
  });
}

function failed(name: string, errors: unknown[]): AggregateError {
  const [first] = errors;
  const why = first instanceof Error ? first.message : String(first);
  return new AggregateError(errors, `Cannot attach ${name}, so none is attached: ${why}`);
}

function throwAll(failures: unknown[]): void {
  if (failures.length > 0) throw new AggregateError(failures, `Cannot end ${failures.length} links of the group`);
}
