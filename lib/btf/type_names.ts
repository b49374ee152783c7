/** The names of types by their ids, for BTF of which nothing else is asked. */
import { BTF_EXTRA, BTF_KINDS, BTF_TYPE_SIZE } from "../uapi/btf.ts";

/** Names in BTF; that of a module continues `base`, the kernel's. Empty if the bytes are no BTF. */
export class TypeNames {
  readonly #bytes: Uint8Array;
  readonly #base: TypeNames | undefined;
  /** The first id, and where its strings begin: behind those of the base. */
  readonly #firstId: number = 1;
  readonly #firstString: number = 0;
  /** Where each type begins. */
  readonly #starts: number[] = [];
  #strings = 0;
  #stringsSize = 0;

  constructor(bytes: Uint8Array, base?: TypeNames) {
    this.#bytes = bytes;
    this.#base = base;
    if (base !== undefined) {
      this.#firstId = base.#firstId + base.#starts.length;
      this.#firstString = base.#firstString + base.#stringsSize;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length < 24) return;
    const header = view.getUint32(4, true), end = header + view.getUint32(8, true) + view.getUint32(12, true);
    this.#strings = header + view.getUint32(16, true);
    this.#stringsSize = view.getUint32(20, true);
    for (let at = header + view.getUint32(8, true); at + BTF_TYPE_SIZE <= Math.min(end, bytes.length);) {
      this.#starts.push(at);
      const info = view.getUint32(at + 4, true), extra = BTF_EXTRA[BTF_KINDS[info >>> 24 & 0x1f]!];
      at += BTF_TYPE_SIZE + (extra === undefined ? 0 : extra[0] + extra[1] * (info & 0xffff));
    }
  }

  /** The name of a type; undefined if it has none, or there is no such type. */
  get(id: number): string | undefined {
    if (id < this.#firstId) return this.#base?.get(id);
    const start = this.#starts[id - this.#firstId];
    if (start === undefined) return undefined;
    const { buffer, byteOffset, length } = this.#bytes;
    return this.#string(new DataView(buffer, byteOffset, length).getUint32(start, true)) || undefined;
  }

  #string(offset: number): string {
    if (offset < this.#firstString) return this.#base!.#string(offset);
    const at = this.#strings + offset - this.#firstString;
    return new TextDecoder().decode(this.#bytes.subarray(at, this.#bytes.indexOf(0, at)));
  }
}
