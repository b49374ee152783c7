/** Records of ring buffers and perf buffers as values of a type. */
import { keysOf } from "../check.ts";
import type { RecordOptions, RecordStream } from "../records.ts";
import type { Codec } from "./codec.ts";

/** How {@linkcode TypedMap.events} reads. */
export interface EventOptions extends RecordOptions {
  /**
   * Whether a record may be shorter than its type, as programs send a struct that ends in an array of which they need a
   * part; what is missing reads as zeroes.
   */
  partial?: boolean | undefined;
}

/** The options of {@linkcode TypedMap.events}. */
export const EVENT_OPTIONS: readonly string[] = keysOf<EventOptions>({
  signal: true,
  busyPollMs: true,
  bytesPerCpu: true,
  partial: true,
});

/**
 * Records of a map, to be iterated once with `for await`; see {@linkcode TypedMap.events}.
 *
 * @example
 * ```ts
 * import { BpfObject } from "@bpf/link/object";
 *
 * using object = BpfObject.load("records.bpf.o");
 * const events = object.map("events").events("event");
 * object.program("write_event").run({ data: new Uint8Array(64) });
 * for await (const { text } of events) {
 *   console.log(text, events.lost); // hi 0
 *   events.close();
 * }
 * await events.return(); // no thread waits any more
 * ```
 */
export interface EventStream<T> extends AsyncIterableIterator<T, void, void>, AsyncDisposable {
  /**
   * How many records the kernel reported until now as lost, since a perf buffer was full. Of a ring buffer 0: it tells
   * its programs, which count for themselves.
   */
  readonly lost: number;
  /** Ends the iteration, and at once a step that is waiting. */
  close(): void;
  /** The same; settled when no thread waits for it any more. */
  return(): Promise<IteratorResult<T, void>>;
}

/** What records are. */
interface EventType {
  readonly codec: Codec;
  readonly name: string;
  /** Whether it ends in an array of any length. */
  readonly isOpenEnded: boolean;
  readonly isPartial: boolean;
  /** Whether the kernel rounds records up, as in perf buffers. */
  readonly isRounded: boolean;
}

/** A perf buffer's record begins with its length, and all of it is a multiple of 8 bytes. */
function rounded(size: number): number {
  return Math.ceil((4 + size) / 8) * 8 - 4;
}

/** The records of a stream, each as a value. */
export class Events<T> implements EventStream<T> {
  readonly #records: RecordStream;
  readonly #type: EventType | undefined; // none: bytes

  constructor(records: RecordStream, type: EventType | undefined) {
    this.#records = records;
    this.#type = type;
  }

  async next(): Promise<IteratorResult<T, void>> {
    const { done, value } = await this.#records.next();
    return done ? { done, value: undefined } : { done: false, value: this.#valueOf(value) };
  }

  #valueOf(record: Uint8Array<ArrayBuffer>): T {
    if (this.#type === undefined) return record as T;
    const { codec, name, isOpenEnded, isPartial, isRounded } = this.#type, { size } = codec, { length } = record;
    const most = isRounded ? rounded(size) : size;
    if (length === most || (length > size && isOpenEnded)) return codec.decode(record) as T;
    if (length < most && isPartial) {
      const whole = new Uint8Array(size);
      whole.set(record.subarray(0, size));
      return codec.decode(whole) as T;
    }
    this.close(); // the loop is over, and would not say so
    const has = most === size ? `${size}` : `${size}, which the kernel rounds up to ${most}`;
    const hint = length < most ? "; with options.partial it may have fewer" : "";
    throw new RangeError(`A record has ${length} bytes, but its type "${name}" has ${has}${hint}`);
  }

  get lost(): number {
    return this.#records.lost;
  }

  close(): void {
    this.#records.close();
  }

  async return(): Promise<IteratorResult<T, void>> {
    await this.#records.return();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
