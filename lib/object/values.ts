/** What types BTF has not, and what it says of records. */
import { checkBytes } from "../check.ts";
import type { Btf } from "./btf.ts";
import type { Codec } from "./codec.ts";

/** A codec for what has no type: bytes as they are. */
export function bytesCodec(size: number): Codec<Uint8Array<ArrayBuffer>> {
  return {
    size,
    read: (view, offset) => new Uint8Array(view.buffer, view.byteOffset + offset, size).slice(),
    write: (view, offset, value, name = "value") =>
      new Uint8Array(view.buffer, view.byteOffset + offset, size).set(checkBytes(value, name, size)),
    decode: (bytes) => bytes.slice(),
    encode: (value, name = "value") => checkBytes(value, name, size).slice(),
  };
}

/** A codec that is made now, whose errors say of what it would be. */
export function codecOf(btf: Btf, type: number, what: string): Codec {
  try {
    return btf.codec(type);
  } catch (error) {
    if (error instanceof Error) error.message = `The type of ${what} is not usable: ${error.message}`;
    throw error;
  }
}

/** Whether a type ends in an array whose length is not said, so that its values have any number of bytes. */
export function isOpenEnded(btf: Btf, id: number): boolean {
  const shape = btf.shape(id);
  switch (shape.kind) {
    case "text":
    case "bytes":
      return shape.size === 0;
    case "array":
      return shape.length === 0;
    case "struct": {
      const last = shape.members.at(-1);
      return last !== undefined && last.bits === 0 && isOpenEnded(btf, last.type);
    }
    default:
      return false;
  }
}
