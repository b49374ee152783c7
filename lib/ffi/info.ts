/** What the kernel reports of a link, as `ffi/core/src/info.rs` asks for it. */
import { fast, native } from "./library.ts";

/** The kernel's `bpf_link_info`, to be filled again and again. */
export class LinkAnswer {
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #longs: BigUint64Array;

  /** @param size Bytes of the struct, a multiple of eight. */
  constructor(size: number) {
    this.#words = new Uint32Array(size / 4);
    this.#longs = new BigUint64Array(this.#words.buffer);
  }

  /** Asks a link, and for nothing outside of the struct: 0 or -errno. */
  fill(fd: number): number {
    const words = this.#words, size = words.byteLength;
    return fast()?.bpf_link_info(fd, words, size) ?? native().bpf_link_info(fd, words, size);
  }

  u32(at: number): number {
    return this.#words[at >> 2]!;
  }

  u64(at: number): bigint {
    return this.#longs[at >> 3]!;
  }
}
