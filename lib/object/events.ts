/** Records of ring buffers as values of a type. */
import type { RecordStream } from "../records.ts";
import type { Codec } from "./codec.ts";

/** How {@linkcode TypedMap.events} reads. */
export interface EventOptions {
  /** Ends the iteration with its reason. */
  signal?: AbortSignal | undefined;
  /**
   * Whether a record may be shorter than its type, as programs send a struct that ends in an array of which they need a
   * part; what is missing reads as zeroes.
   */
  partial?: boolean | undefined;
}

/** Records of a ring buffer, to be iterated once with `for await`; see {@linkcode TypedMap.events}. */
export interface EventStream<T> extends AsyncIterableIterator<T, void, void>, AsyncDisposable {
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
    const { codec, name, isOpenEnded, isPartial } = this.#type, { size } = codec, { length } = record;
    if (length === size || (length > size && isOpenEnded)) return codec.decode(record) as T;
    if (length < size && isPartial) {
      const whole = new Uint8Array(size);
      whole.set(record);
      return codec.decode(whole) as T;
    }
    this.close(); // the loop is over, and would not say so
    const hint = length < size ? "; with options.partial it may have fewer" : "";
    throw new RangeError(`A record has ${length} bytes, but its type "${name}" has ${size}${hint}`);
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
