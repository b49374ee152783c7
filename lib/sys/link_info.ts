/** OBJ_GET_INFO_BY_FD of links: the only reader of `struct bpf_link_info`. */
import { checkFd } from "../check.ts";
import type { BpfError } from "../error.ts";
import { LinkAnswer } from "../ffi/info.ts";
import { Request } from "../ffi/request.ts";
import { lazy } from "../lazy.ts";
import { refused } from "../refusal.ts";
import { Command, LINK_TYPES } from "../uapi/constants.ts";
import { E2BIG, EINVAL } from "../uapi/errno.ts";
import { bpf_link_info, info_by_fd } from "../uapi/layout.ts";
import { isLink, OBJ_GET_INFO_BY_FD } from "./object.ts";
import { type BpfLinkInfo, rowOf, TYPES } from "./type/mod.ts";
import type { Answer, Asker, Question } from "./type/row.ts";

const SIZE = bpf_link_info.sizeof; // since 6.8; a longer one is cut, a shorter one padded

/** Bytes of an array at most: 2 ** 20 addresses, the most that the kernel lets a link have. */
const MOST = 8 * 1024 * 1024;

/** A further question to one link: the zeroed struct, and room for the answers that lie outside of it. */
class InfoRequest implements Question {
  readonly #request = new Request(info_by_fd.sizeof, 32 + SIZE);
  readonly #at = this.#request.u32(info_by_fd.info_len, SIZE).room(info_by_fd.info, SIZE);

  sentinel(at: number): this {
    this.#request.u64(this.#at + at, SENTINEL);
    return this;
  }
  written(at: number): bigint | undefined {
    const value = this.u64(at);
    return value === SENTINEL ? undefined : value;
  }
  room(at: number, size: number): number {
    if (size > MOST) throw refused(-E2BIG, OBJ_GET_INFO_BY_FD, "Cannot read info of link");
    return this.#request.room(this.#at + at, size) - this.#at;
  }
  set(at: number, value: number): this {
    this.#request.u32(this.#at + at, value);
    return this;
  }
  ask(fd: number): number {
    this.#request.u32(info_by_fd.bpf_fd, fd).u32(info_by_fd.info_len, SIZE);
    return this.#request.bpf(Command.OBJ_GET_INFO_BY_FD);
  }
  u32(at: number): number {
    return this.#request.getU32(this.#at + at);
  }
  u64(at: number): bigint {
    return this.#request.getU64(this.#at + at);
  }
  string(at: number, size: number): string {
    return this.#request.getString(this.#at + at, size);
  }
}

const SENTINEL = 0xa5a5a5a5a5a5a5a5n;
const plain = new LinkAnswer(SIZE);

/**
 * Reads what the kernel reports of a link.
 *
 * It can be read from detached links too. Names and arrays are asked for as often as needed to have them whole. Wraps
 * `bpf_link_get_info_by_fd()`. Since Linux 5.8; names, arrays and cookies came with the kernels that each field's type
 * names. Needs no capability, only the fd; addresses are 0n for callers that may not read kernel symbols.
 *
 * @param linkFd An fd of the link.
 * @returns Its info.
 * @throws {RangeError} If `linkFd` is no fd.
 * @throws {BpfError}
 * - `EBADFD`: `linkFd` is not open
 * - `EINVAL`: `linkFd` is no object of bpf; or a program or map whose type has the number of a link type with names or
 *   arrays (others are misread)
 *
 * @example
 * ```ts
 * import { close, linkGetInfoByFd, progLoad, rawTracepointOpen } from "@bpf/link/sys";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * const program = progLoad("raw_tracepoint", nothing);
 * const link = rawTracepointOpen("sched_process_exit", program);
 * console.log(linkGetInfoByFd(link));
 * close(link);
 * close(program);
 * ```
 */
export function linkGetInfoByFd(linkFd: number): BpfLinkInfo {
  checkFd(linkFd, "linkFd");
  const result = plain.fill(linkFd);
  if (result < 0) throw infoRefused(linkFd, result);
  // if the fd is a program or map, its info would be misread as addresses and lengths, where the kernel would write
  if ((asksAgain() >>> plain.u32(bpf_link_info.type) & 1) !== 0 && !isLink(linkFd)) throw infoRefused(linkFd, -EINVAL);
  return decode(plain, new LinkAsker(linkFd));
}

/** Types with names or arrays outside of the struct, as bits. */
export const asksAgain: () => number = lazy(() =>
  LINK_TYPES.reduce((bits, type, i) => rowOf(type)?.asksAgain ? bits | 1 << i : bits, 0)
);

/** The id of a link alone, of an fd that is surely a link's. */
export function linkGetId(linkFd: number): number {
  const result = plain.fill(linkFd);
  if (result < 0) throw infoRefused(linkFd, result);
  return plain.u32(bpf_link_info.id);
}

function infoRefused(fd: number, result: number): BpfError {
  return refused(result, OBJ_GET_INFO_BY_FD, `Cannot read info of link (fd ${fd})`);
}

/** Reads the answer to a question without room; `asker` asks for what lies outside of the struct. */
export function decode(answer: Answer, asker: Asker): BpfLinkInfo {
  const number = answer.u32(bpf_link_info.type), type = LINK_TYPES[number] ?? "unknown";
  const id = answer.u32(bpf_link_info.id), progId = answer.u32(bpf_link_info.prog_id);
  return type === "unknown" ? { type, id, progId, typeNumber: number } : TYPES[type].info(answer, id, progId, asker);
}

/** Which kernels write a field cannot be told from sizes or versions: each is asked for once, with a sentinel. */
const isWritten = new Map<string, boolean>();

/** Asks one link again. */
export class LinkAsker implements Asker {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  ask<T>(prepare: (question: Question) => T): [question: Question, prepared: T] {
    const question = new InfoRequest(), prepared = prepare(question);
    const result = question.ask(this.#fd);
    if (result < 0) throw infoRefused(this.#fd, result);
    return [question, prepared];
  }

  text(at: number, lengthAt: number, length: number): string {
    if (length === 0) return "";
    const [question, room] = this.ask((question) => question.set(lengthAt, length).room(at, length));
    return question.string(room, length);
  }

  known(key: string, at: number, value: bigint): bigint | undefined {
    let known = isWritten.get(key);
    if (known === undefined) {
      const question = new InfoRequest().sentinel(at);
      const result = question.ask(this.#fd);
      if (result < 0 && result !== -E2BIG) return undefined;
      known = result === 0 && question.written(at) !== undefined;
      isWritten.set(key, known);
    }
    return known ? value : undefined;
  }
}
