/** Every link of the machine, as infos and as ids. */
import { type LinkInfo, readInfo } from "./kind/mod.ts";
import { checkKeys, checkOneOf, checkSignal, kindOf } from "./sys/check.ts";
import { linkWalk } from "./sys/link_info.ts";
import { LINK_TYPES } from "./uapi/constants.ts";
import type { LinkType } from "./uapi/types.ts";

/** Where a listing comes from: so far the `syscall` walk, which needs CAP_SYS_ADMIN. */
export type Source = "syscall";

/** Which links to list, and how. */
export interface ListOptions {
  /** Where the listing comes from; chosen if absent. */
  source?: Source | undefined;
  /** The types to list; all if absent. */
  types?: readonly LinkType[] | undefined;
  /** Ends the listing: the next step rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** The infos of links, to be iterated once with `for await`. */
export interface LinkListing extends AsyncIterableIterator<LinkInfo, void, void>, AsyncDisposable {
  /** Where the listing comes from. */
  readonly source: Source;
  /** Whether some links may be missing. */
  readonly partial: boolean;
}

/** Checks the options of a listing. */
export function checkListOptions(options: ListOptions, more: readonly string[] = []): void {
  checkKeys(options, "options", ["source", "types", "signal", ...more]);
  const { source, types, signal } = options;
  if (source !== undefined) checkOneOf(source, "options.source", ["syscall"]);
  if (types !== undefined) {
    if (!Array.isArray(types)) throw new TypeError(`options.types must be an array, not ${kindOf(types)}`);
    types.forEach((type, i) => checkOneOf(type, `options.types[${i}]`, LINK_TYPES));
  }
  checkSignal(signal, "options.signal");
}

/** A listing by the syscall walk. Each batch is read when its first link is asked for; nothing is held in between. */
export class SyscallListing implements LinkListing {
  readonly source = "syscall";
  readonly partial = false;
  readonly #options: ListOptions;
  #batch: LinkInfo[] = [];
  #next = 0;
  #lastId = 0;
  #done = false;

  constructor(options: ListOptions) {
    this.#options = options;
  }

  // not an async function: a promise that is resolved at once costs a third
  next(): Promise<IteratorResult<LinkInfo, void>> {
    try {
      const { signal, types } = this.#options;
      for (;;) {
        if (signal?.aborted) {
          this.#done = true;
          throw signal.reason;
        }
        if (this.#next === this.#batch.length && !this.#done) this.#read();
        const info = this.#batch[this.#next++];
        if (info === undefined) {
          this.#done = true;
          return Promise.resolve({ done: true, value: undefined });
        }
        if (types === undefined || types.includes(info.type)) return Promise.resolve({ done: false, value: info });
      }
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #read(): void {
    this.#batch = linkWalk(this.#lastId).map(readInfo);
    this.#next = 0;
    this.#lastId = this.#batch.at(-1)?.id ?? this.#lastId;
  }

  return(): Promise<IteratorResult<LinkInfo, void>> {
    this.#done = true;
    this.#batch = [];
    this.#next = 0;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
