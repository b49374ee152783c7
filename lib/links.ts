/** Every link of the machine, as infos: through an iterator program, by a walk over ids, or from `/proc`. */
import { checkKeys, checkOneOf, checkSignal, kindOf } from "./check.ts";
import { BpfError } from "./error.ts";
import { linkFds } from "./ffi/holders.ts";
import { type LinkInfo, linkKindOf, readInfo } from "./kind/mod.ts";
import { parseFdinfo } from "./listing/fdinfo.ts";
import { visitPins, withPinnedLink } from "./listing/pins.ts";
import { loadedIterator, useIterator } from "./listing/iterator.ts";
import { allLinks, linkWalk } from "./listing/walk.ts";
import { readTextFile } from "./os/files.ts";
import { isNoAnswer, unlessGone, visibly } from "./refusal.ts";
import { linkGetNextId } from "./sys/link.ts";
import { linkGetInfoByFd } from "./sys/link_info.ts";
import type { BpfLinkInfo } from "./sys/type/mod.ts";
import { LINK_TYPES, type LinkType } from "./uapi/constants.ts";
import { Closable, runToEnd } from "./wait.ts";

/** Which capabilities a refusal was for. */
export { missingCapabilities } from "./os/capabilities.ts";

/** All of them. */
export const SOURCES: readonly Source[] = ["iterator", "syscall", "proc"];

/**
 * Where infos come from.
 *
 * - `iterator`: a small program of this package, which the kernel runs for each link. It takes some milliseconds to
 *   load, stays loaded for some seconds, and is the fastest by far where there are many links. It needs CAP_BPF and
 *   CAP_PERFMON and Linux 5.19. Without CAP_SYS_ADMIN it does not report what a perf_event link is attached to, nor
 *   the file, functions and places of `kprobe_multi` and `uprobe_multi` links: `path` and lists are empty.
 * - `syscall`: link after link by its id. Needs CAP_SYS_ADMIN.
 * - `proc`: the links of processes, and the pins, that the caller can see. Needs no capability; it is `partial`. Of
 *   perf_event links older kernels report nothing there, of `kprobe_multi` links none reports addresses, and both multi
 *   types are missing before Linux 6.17.
 */
export type Source = "iterator" | "syscall" | "proc";

/** Which links to list, and how. */
export interface ListOptions {
  /** Where the listing comes from; chosen if absent, by what the caller may do and how many links there are. */
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
  if (source !== undefined) checkOneOf(source, "options.source", SOURCES);
  if (types !== undefined) {
    if (!Array.isArray(types)) throw new TypeError(`options.types must be an array, not ${kindOf(types)}`);
    types.forEach((type, i) => checkOneOf(type, `options.types[${i}]`, LINK_TYPES));
  }
  checkSignal(signal, "options.signal");
}

/** From so many links on, loading the iterator takes less time than walking over them. */
const MANY = 600;

/** The source that was asked for, or the best that there is; `isRepeated` if it will be used again and again. */
export function chooseSource(wanted: Source | undefined, isRepeated: boolean): Source {
  if (wanted === "iterator") useIterator();
  if (wanted !== undefined) return wanted;
  if (loadedIterator() !== undefined) return "iterator";
  const mayWalk = isPermitted(() => linkGetNextId(0));
  if (mayWalk && !isRepeated && !hasManyLinks()) return "syscall";
  return isPermitted(useIterator) ? "iterator" : mayWalk ? "syscall" : "proc";
}

function isPermitted(action: () => unknown): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (error instanceof BpfError && !isNoAnswer(error)) return false;
    throw error;
  }
}

function hasManyLinks(): boolean {
  let id: number | undefined = 0;
  for (let count = 0; count < MANY; count++) {
    id = linkGetNextId(id);
    if (id === undefined) return false;
  }
  return true;
}

/** Infos in pieces, none of which is empty. */
type Pieces = Generator<LinkInfo[], void, void>;
type Types = readonly LinkType[] | undefined;

/** Of records: with thousands of infos that are still to be taken, V8 makes each as if it would stay. */
const PIECE = 256;

const PIECES: { readonly [S in Source]: (types: Types) => Pieces } = {
  *iterator(types): Pieces {
    using records = useIterator().run(types);
    for (let piece; (piece = records.take(linkKindOf, PIECE)).length > 0;) yield piece;
  },
  *syscall(types): Pieces {
    for (let lastId = 0, piece; (piece = linkWalk(lastId)).length > 0; lastId = piece.at(-1)!.id) {
      const infos = read(piece, types);
      if (infos.length > 0) yield infos;
    }
  },
  *proc(types): Pieces {
    const infos = read([...visibleLinks().values()].sort((a, b) => a.id - b.id), types);
    if (infos.length > 0) yield infos;
  },
};

/** The links of a type that there are now; none for callers that may not see all. */
export function linksOf(type: LinkType): BpfLinkInfo[] {
  switch (chooseSource(undefined, false)) {
    case "syscall":
      return [...allLinks()];
    case "iterator": {
      using records = useIterator().run([type]);
      const infos: BpfLinkInfo[] = [];
      for (let at = records.first; at < records.end; at = records.next(at)) {
        const info = records.info(at);
        if (info !== undefined) infos.push(info);
      }
      return infos;
    }
    default:
      return [];
  }
}

function read(infos: readonly BpfLinkInfo[], types: Types): LinkInfo[] {
  const ownId = loadedIterator()?.linkId;
  return infos.filter(({ id, type }) => isWanted(types, type) && id !== ownId).map(readInfo);
}

function isWanted(types: Types, type: LinkType): boolean {
  return types === undefined || types.includes(type);
}

/** The links that `/proc` and the mounted bpf file systems show. */
function visibleLinks(): Map<number, BpfLinkInfo> {
  const infos = new Map<number, BpfLinkInfo>();
  visitPins((path) => {
    const info = visibly(() => withPinnedLink(path, linkGetInfoByFd));
    if (info !== undefined) infos.set(info.id, info);
    return true;
  });
  for (const { pid, fd, id } of runToEnd(linkFds())) {
    if (fd < 0 || infos.has(id)) continue;
    const text = visibly(() => unlessGone(() => readTextFile(`/proc/${pid}/fdinfo/${fd}`)));
    const info = text === undefined ? undefined : parseFdinfo(text);
    if (info !== undefined) infos.set(info.id, info); // the fd may be another link's by now
  }
  return infos;
}

/** The infos of links, as {@linkcode Link.list} returns them. */
export interface LinkList extends Array<LinkInfo> {
  /** Where the listing comes from. */
  readonly source: Source;
  /** Whether some links may be missing. */
  readonly partial: boolean;
}

/** {@linkcode Link.list}. */
export function listLinks(options: ListOptions): LinkList {
  options.signal?.throwIfAborted();
  const source = chooseSource(options.source, false), infos = readAll(source, options.types);
  // not enumerable: for those who compare and print, it is an array like others
  return Object.defineProperties(infos, {
    source: { value: source },
    partial: { value: source === "proc" },
  }) as LinkList;
}

/** All infos that a source has now. */
export function readAll(source: Source, types: Types): LinkInfo[] {
  if (source !== "iterator") return [...PIECES[source](types)].flat();
  using records = useIterator().run(types);
  return records.take(linkKindOf, Infinity);
}

/** A listing, which is read piece by piece when it is asked for; it holds no fd in between. */
export class Listing extends Closable<LinkInfo> implements LinkListing {
  readonly source: Source;
  readonly #signal: AbortSignal | undefined;
  readonly #pieces: Pieces;
  #piece: readonly LinkInfo[] = [];
  #next = 0;

  constructor({ source, types, signal }: ListOptions) {
    super();
    this.#signal = signal;
    this.source = chooseSource(source, false);
    this.#pieces = PIECES[this.source](types);
  }

  get partial(): boolean {
    return this.source === "proc";
  }

  /** Not async: a promise that is resolved at once costs a third. */
  next(): Promise<IteratorResult<LinkInfo, void>> {
    const value = this.#piece[this.#next];
    if (value === undefined || this.#signal?.aborted) return this.#nextPiece();
    this.#next++;
    return Promise.resolve({ done: false, value });
  }

  /** The same for the first of a piece, and where there is none. */
  #nextPiece(): Promise<IteratorResult<LinkInfo, void>> {
    if (this.#signal?.aborted) {
      this.close();
      return Promise.reject(this.#signal.reason);
    }
    try {
      this.#piece = this.#pieces.next().value ?? [];
    } catch (error) {
      return Promise.reject(error);
    }
    this.#next = 1;
    const [value] = this.#piece;
    return Promise.resolve(value === undefined ? { done: true, value } : { done: false, value });
  }

  close(): void {
    this.#pieces.return();
    this.#piece = [];
  }
}
