/** The walk over the links of the machine, in batches. The records are those of `ffi/core/src/walk.rs`. */
import { native } from "./library.ts";
import { numbers } from "./symbols.ts";

const { RECORD_SIZE, FD, INFO } = numbers.walk;
const CAPACITY = 64;

/** A batch of links, read one after the other: offsets count from the kernel's `bpf_link_info`. */
export class LinkBatch {
  readonly #records = new DataView(new ArrayBuffer(CAPACITY * RECORD_SIZE));
  #at = 0;

  /**
   * Walks over the links with an id above `startId` and returns how many there are in the batch (0 at the end), or
   * -errno. Links of the types whose bit is set in `keep` stay open; their fds are the caller's.
   */
  read(startId: number, keep: number): number {
    return native().bpf_link_walk(startId, keep, this.#records, this.#records.byteLength);
  }

  /** Goes to a link. */
  select(i: number): void {
    this.#at = i * RECORD_SIZE;
  }

  /** The fd of the selected link; -1 if it is closed again. */
  get fd(): number {
    return this.#records.getInt32(this.#at + FD, true);
  }

  u32(at: number): number {
    return this.#records.getUint32(this.#at + INFO + at, true);
  }

  u64(at: number): bigint {
    return this.#records.getBigUint64(this.#at + INFO + at, true);
  }
}
