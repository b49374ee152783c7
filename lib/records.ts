/** The records that programs write for processes, as something to be iterated. */
import type { RingReader } from "./ring.ts";
import { onAbort, Waiting } from "./wait.ts";

/**
 * A record: bytes as the program wrote them, in the machine's byte order.
 *
 * It is a view of the memory of a piece, which it shares with the records around it: `record.buffer` is more than the
 * record, so decode with `new DataView(record.buffer, record.byteOffset, record.length)`. A piece is never written to
 * again. What is to be kept for long should be a copy, `record.slice()`, since a view keeps all of its piece: 16 KiB, or
 * the record itself if it is longer.
 */
export type EventRecord = Uint8Array<ArrayBuffer> & {
  /** Of a perf_event_array: the CPU that the program ran on. */
  readonly cpu?: number;
};

/** How {@linkcode "@bpf/link".BpfMap.records} reads. */
export interface RecordOptions {
  /** Ends the iteration with its reason. */
  signal?: AbortSignal | undefined;
  /**
   * How long this isolate's own thread looks for the next record after one, in milliseconds; 0 if absent, which is not at
   * all.
   *
   * As a rule another thread sleeps until there are records, and it takes Deno 40 to 80 microseconds to come back from
   * there. With this they are noticed at once, but a CPU is busy with nothing else meanwhile, and so is the isolate, which
   * turns to its other work once a millisecond. Without records for so long, another thread sleeps again.
   */
  busyPollMs?: number | undefined;
  /**
   * perf_event_array: bytes of the ring of each CPU, a power of two and a multiple of the page size; 64 KiB if absent.
   */
  bytesPerCpu?: number | undefined;
}

/**
 * The records of a map, to be iterated once with `for await`; see `BpfMap.records`.
 *
 * @example
 * ```ts
 * import { BpfMap } from "@bpf/link";
 *
 * using map = BpfMap.create({ type: "ringbuf", maxEntries: 64 * 1024 });
 * const records = map.records();
 * setTimeout(() => records.close(), 10);
 * for await (const record of records) console.log(record.length, record.cpu);
 * await records.return(); // no thread waits any more
 * console.log(records.lost); // 0
 * ```
 */
export interface RecordStream extends AsyncIterableIterator<EventRecord, void, void>, AsyncDisposable {
  /**
   * How many records the kernel reported until now as lost, since a ring was full: it does so with the next record that it
   * has room for. Of perf_event_arrays only; a ring buffer tells its programs, and counts nothing: 0.
   */
  readonly lost: number;
  /** Ends the iteration, and at once a step that is waiting. */
  close(): void;
  /** The same; settled when no thread waits for it any more. */
  return(): Promise<IteratorResult<EventRecord, void>>;
}

/** Who reads which map, by its id: it has one reader. */
const readers = new Map<number, RingReader>();

/** The records of a map, as they come. Its rings are opened at the first step. */
export class Records extends Waiting<EventRecord> implements RecordStream {
  readonly #open: () => RingReader;
  readonly #mapId: number;
  readonly #signals: readonly (AbortSignal | undefined)[];
  readonly #listeners = new DisposableStack();
  #reader: RingReader | undefined;
  #isClosed = false;
  #unsettled = 0; // steps
  #last: Promise<unknown> = Promise.resolve(); // of them

  /**
   * @param open Opens the rings.
   * @param signal Ends the iteration with its reason.
   * @param closing Ends it without one: the map's handle is closed.
   */
  constructor(open: () => RingReader, mapId: number, signal: AbortSignal | undefined, closing: AbortSignal) {
    super();
    this.#open = open;
    this.#mapId = mapId;
    this.#signals = [signal, closing];
  }

  get lost(): number {
    return this.#reader?.lost ?? 0;
  }

  /** Most records are here already: taking one as a step would take several times as long. */
  override next(): Promise<IteratorResult<EventRecord, void>> {
    const value = this.#unsettled === 0 ? this.#reader?.take() : undefined;
    if (value !== undefined) return Promise.resolve({ done: false, value });
    this.#unsettled++;
    const step = this.#unsettled === 1 ? this.#pull() : this.#last.then(() => this.#pull());
    this.#last = step.catch(() => {});
    return step;
  }

  #pull(): Promise<IteratorResult<EventRecord, void>> {
    const { promise, resolve } = Promise.withResolvers<IteratorResult<EventRecord, void>>();
    const settle = (value: EventRecord | undefined) => {
      if (value === undefined) return resolve(super.next().finally(() => this.#unsettled--));
      this.#unsettled--;
      resolve({ done: false, value });
    };
    if (this.#reader === undefined) settle(undefined);
    else this.#reader.pull(settle);
    return promise;
  }

  /** The first step, and the last. */
  protected async step(): Promise<IteratorResult<EventRecord, void>> {
    const [signal] = this.#signals;
    signal?.throwIfAborted();
    const reader = this.#reader ??= this.#begin();
    if (reader === undefined) return { done: true, value: undefined };
    const value = await new Promise<EventRecord | undefined>((resolve) => reader.pull(resolve));
    if (value !== undefined) return { done: false, value };
    await reader.finished;
    signal?.throwIfAborted();
    if (reader.failure !== undefined) throw reader.failure.error;
    return { done: true, value };
  }

  #begin(): RingReader | undefined {
    if (this.#isClosed) return undefined;
    if (readers.has(this.#mapId)) {
      throw new Deno.errors.Busy(`Cannot read records of map ${this.#mapId}: they are being read already`);
    }
    const reader = this.#open();
    readers.set(this.#mapId, reader);
    for (const signal of this.#signals) this.#listeners.use(onAbort(signal, () => this.#endReader(reader)));
    return reader;
  }

  #endReader(reader: RingReader): void {
    reader.end();
    if (readers.get(this.#mapId) === reader) readers.delete(this.#mapId);
  }

  override async return(): Promise<IteratorResult<EventRecord, void>> {
    const step = await super.return();
    await this.#reader?.finished;
    return step;
  }

  close(): void {
    this.#isClosed = true;
    this.#listeners.dispose();
    if (this.#reader !== undefined) this.#endReader(this.#reader);
  }
}
