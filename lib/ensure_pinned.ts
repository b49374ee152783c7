/** Links that outlive a run: the next one takes over what it finds pinned. */
import { checkFlag, checkKeys, checkPath, checkSignal } from "./check.ts";
import { BpfError } from "./error.ts";
import type { PinOptions } from "./handle/owned.ts";
import { checkClaim, type OwnPin, PinPlace } from "./handle/pin_place.ts";
import type { Attachment } from "./kind/kind.ts";
import {
  type AttachTargets,
  kindFor,
  type KindOf,
  type LinkInfo,
  type LinkTypeOf,
  type SourceOf,
  type TargetType,
} from "./kind/mod.ts";
import { closeTemporary } from "./kind/target.ts";
import { toJson } from "./json.ts";
import type { AnyLink, Link } from "./link.ts";
import { closeIfOpen, type FileStatus, fileStatus, fileSystemOf, open, readLink } from "./os/files.ts";
import { linkGetInfoByFd } from "./sys/link_info.ts";
import type { BpfLinkInfo } from "./sys/type/mod.ts";
import { EEXIST } from "./uapi/errno.ts";
import type { LinkType } from "./uapi/constants.ts";
import { O_NOFOLLOW, O_PATH, PROC_SUPER_MAGIC, S_IFLNK } from "./uapi/linux.ts";

/** What the functions here need of the class, which imports them. */
export interface LinkMaker {
  /** Attaches a link, as {@linkcode Link.attach}. */
  attach<K extends TargetType>(source: SourceOf<K>, target: AttachTargets[K] & { type: K }): Link<LinkTypeOf<K>>;
  /** Makes a handle of an fd that was opened from a pin; the fd is the handle's, or closed. */
  opened(fd: number, path: string): AnyLink;
}

/** How {@linkcode Link.ensurePinned} does it. */
export interface EnsureOptions extends PinOptions {
  /** Whether a link that is pinned there, but attached to something else or another user's, is ended. */
  replace?: boolean | undefined;
  /** How long to wait for the lock of the directory, in milliseconds; 5000 if absent, 0 is not at all. */
  waitMs?: number | undefined;
}

/** How {@linkcode Link.ensurePinnedAsync} does it. */
export interface EnsureAsyncOptions extends EnsureOptions {
  /** Ends the wait for the lock: nothing is changed then. */
  signal?: AbortSignal | undefined;
}

/** A link that {@linkcode Link.ensurePinned} made or found. */
export interface EnsuredLink<T extends LinkType = LinkType> extends Disposable, AsyncDisposable {
  /** The link, opened from its pin: closing it does not end it. */
  readonly link: Link<T>;
  /**
   * - `created`: there was no pin
   * - `updated`: the link that was pinned holds the program now
   * - `replaced`: a new link has taken the place of the pinned one
   */
  readonly outcome: "created" | "updated" | "replaced";
}

class Ensured<T extends LinkType> implements EnsuredLink<T> {
  readonly link: Link<T>;
  readonly outcome: EnsuredLink["outcome"];

  constructor(link: AnyLink, outcome: EnsuredLink["outcome"]) {
    this.link = link as Link<LinkType> as Link<T>;
    this.outcome = outcome;
  }

  [Symbol.dispose](): void {
    this.link.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.link.closeAsync();
  }
}

/** What {@linkcode Link.ensurePinned} was asked for. */
interface Wanted {
  readonly file: string;
  readonly waitMs: number;
  readonly makesDirectories: boolean;
  readonly signal: AbortSignal | undefined;
  readonly sourceId: number;
  readonly replace: boolean;
  /** The target in an error's words. */
  readonly place: string;
  attach(): Link;
  update(link: Link): void;
  opened(fd: number): Link;
  /** Whether a live link is attached to the target; `undefined` where only a second link can say. */
  isAt(link: Link): boolean | undefined;
  /** Gives back what the target needed. */
  release(): void;
}

/** {@linkcode Link.ensurePinned}. */
export function ensurePinned<K extends TargetType>(
  links: LinkMaker,
  path: string | URL,
  source: SourceOf<K>,
  target: AttachTargets[K] & { type: K },
  options: EnsureOptions | undefined,
): EnsuredLink<LinkTypeOf<K>> {
  const wanted = toWanted<K>(links, path, source, target, options, false);
  try {
    using pin = PinPlace.claim(wanted.file, wanted.waitMs, wanted.makesDirectories);
    return ensure(pin, wanted);
  } finally {
    wanted.release();
  }
}

/**
 * {@linkcode Link.ensurePinnedAsync}. What is done under the lock does not wait: a call of this process that needs the
 * lock would stop the thread that is to give it back.
 */
export async function ensurePinnedAsync<K extends TargetType>(
  links: LinkMaker,
  path: string | URL,
  source: SourceOf<K>,
  target: AttachTargets[K] & { type: K },
  options: EnsureAsyncOptions | undefined,
): Promise<EnsuredLink<LinkTypeOf<K>>> {
  const wanted = toWanted<K>(links, path, source, target, options, true);
  try {
    using pin = await PinPlace.claimAsync(wanted.file, wanted.waitMs, wanted.makesDirectories, wanted.signal);
    return ensure(pin, wanted);
  } finally {
    wanted.release();
  }
}

/** Checks everything, the target too, before anything is done. */
function toWanted<K extends TargetType>(
  links: LinkMaker,
  path: string | URL,
  source: SourceOf<K>,
  target: AttachTargets[K] & { type: K },
  options: EnsureAsyncOptions = {},
  isAsync: boolean,
): Wanted {
  const file = checkPath(path, "path"), kind = kindFor<K>(target);
  checkKeys(options, "options", ["replace", "waitMs", "makeDirectories", ...isAsync ? ["signal"] : []]);
  const { signal } = options;
  checkSignal(signal, "options.signal");
  const replace = checkFlag(options.replace, "options.replace"), claim = checkClaim(options, "options");
  signal?.throwIfAborted();
  const attachment = kind.prepare(source, target);
  return {
    file,
    ...claim,
    signal,
    sourceId: source.id,
    replace,
    place: kind.describe(target),
    attach: () => links.attach<K>(source, target) as Link<LinkType>,
    update: (link) => link.update(source),
    opened: (fd) => links.opened(fd, file) as Link<LinkType>,
    isAt: (link) => link.type === kind.linkType && isAttachedTo(kind, linkGetInfoByFd(link.fd), attachment),
    release: () => closeTemporary(attachment),
  };
}

function ensure<T extends LinkType>(pin: PinPlace, wanted: Wanted): EnsuredLink<T> {
  endAbandoned(pin, wanted);
  const found = pin.findOwn(pin.name, wanted.replace);
  if (found === undefined) return new Ensured<T>(create(pin, wanted) as AnyLink, "created");
  const old = wanted.opened(found.object);
  try {
    const made = takeOver(old, pin, found, wanted);
    if (made === undefined) return new Ensured<T>(old as AnyLink, "updated");
    closeIfOpen(old.release());
    return new Ensured<T>(made as AnyLink, "replaced");
  } catch (error) {
    old.close();
    throw error;
  }
}

function create(pin: PinPlace, { attach, opened }: Wanted): Link {
  const kept = opened(attach().release());
  try {
    pin.pin(kept.fd);
    return kept;
  } catch (error) {
    using _ended = end(kept);
    throw error;
  }
}

/**
 * Ends what a run of this package left that was killed between pinning a new link and putting it into the place of the
 * old one. That is proved by its name, which says the id of its link, and by its owner, as {@linkcode PinPlace.findOwn}
 * asks; what is not is left alone.
 */
function endAbandoned(pin: PinPlace, { opened }: Wanted): void {
  for (const { name } of pin.entries()) {
    const id = idInTemporary(name, pin.name);
    if (id === undefined) continue;
    let found;
    try {
      found = pin.findOwn(name);
    } catch (error) {
      if (error instanceof BpfError && error.reason !== "limit") continue;
      throw error;
    }
    if (found === undefined) continue;
    using link = opened(found.object);
    if (link.id !== id) continue;
    end(link);
    pin.remove(name);
  }
}

/**
 * Puts the program into the pinned link (undefined), or a new link, which is returned, into its place:
 *
 * | the old link | then |
 * | --- | --- |
 * | is detached | a new link takes its place |
 * | is elsewhere, or another user's | the same with `replace`, else an error |
 * | is at the target and has the program | nothing |
 * | is at the target and has an update | it gets the program |
 * | is at the target, no update | a new link takes its place; if the target takes one link, the old one ends first |
 *
 * Where the kernel does not say whether it is at the target, a new link is made first, to compare with.
 */
function takeOver(old: Link, pin: PinPlace, { status, isOwn }: OwnPin, wanted: Wanted): Link | undefined {
  if (old.attached() === false) return replace(old, wanted.attach(), pin, status, wanted);
  // a stranger could change at any time what it holds
  const has = isOwn && holds(old, wanted.sourceId);
  let isSame = wanted.isAt(old), made: Link | undefined;
  using stack = new DisposableStack();
  const attach = () => stack.use(wanted.attach());
  try {
    if (isSame === undefined) {
      made = attach();
      isSame = tellTheSame(made.info(), old.info(), status);
    }
  } catch (error) {
    if (has && isTaken(error)) return undefined; // the place takes this program once
    throw error;
  }
  if (!isSame && !wanted.replace) throw another(old, wanted);
  if (isSame && isOwn && (has && old.attached() || updates(old, wanted, made !== undefined))) return undefined;
  try {
    made ??= attach();
  } catch (error) {
    if (!isSame || !isTaken(error)) throw error;
    if (has) return undefined;
    end(old); // the place takes one link
    made = attach();
  }
  return replace(old, made, pin, status, wanted);
}

/** Pins a new link over the old one, which then ends: at each moment at least one of them is attached. */
function replace(old: Link, made: Link, pin: PinPlace, status: FileStatus, { file, opened }: Wanted): Link {
  const temporary = temporaryOf(pin.name, made.id), kept = opened(made.release());
  try {
    pin.pin(kept.fd, temporary);
    try {
      if (!pin.holds(status)) throw isAnotherNow(file); // by somebody who takes no lock
      pin.replace(temporary);
    } catch (error) {
      pin.remove(temporary);
      throw error;
    }
  } catch (error) {
    using _ended = end(kept);
    throw error;
  }
  try {
    end(old);
    return kept;
  } catch (error) {
    kept.close();
    throw error;
  }
}

function isAnotherNow(file: string): BpfError {
  return new BpfError(EEXIST, {
    action: `Cannot replace pin "${file}"`,
    command: "renameat2",
    reason: "mismatch",
    meaning: "somebody else put another pin there meanwhile",
    hint: "look at it, and try again",
  });
}

/** Updates a link. False if it is detached or has no update; `orInvalid`: also if the kernel says so by EINVAL. */
function updates(link: Link, wanted: Wanted, orInvalid: boolean): boolean {
  try {
    wanted.update(link);
    return true;
  } catch (error) {
    const codes = ["ENOLINK", "EOPNOTSUPP", ...orInvalid ? ["EINVAL"] : []];
    if (error instanceof BpfError && codes.includes(error.code)) return false;
    throw error;
  }
}

/** Detaches a link, as far as its type can be. */
function end(link: Link): Link {
  try {
    link.detach();
  } catch (error) {
    if (!(error instanceof BpfError && error.reason === "unsupported")) throw error;
  }
  return link;
}

function holds(link: Link, sourceId: number): boolean {
  const info = linkGetInfoByFd(link.fd);
  return (info.progId || "mapId" in info && info.mapId) === sourceId;
}

function isTaken(error: unknown): boolean {
  return error instanceof BpfError && (error.reason === "busy" || error.reason === "exists");
}

function another(old: Link, { file, place }: Wanted): BpfError {
  const info = old.info(), isReported = !("event" in info && info.event === "unknown");
  return new BpfError(EEXIST, {
    action: `Cannot pin a link to ${place} as "${file}"`,
    command: "OBJ_PIN",
    reason: "mismatch",
    meaning: `link ${old.id} (${old.type}) is pinned there, and ${
      isReported ? "is attached to something else" : "this kernel does not report what it is attached to"
    }`,
    hint: "choose another path, or pass replace: true to end that link",
  });
}

/**
 * A name that nobody can have taken, and which says whose it is: the pin's, the link's id, 64 random bits. Beside the
 * pin, where a rename can reach it; names may have no dot.
 */
function temporaryOf(name: string, id: number): string {
  const random = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0"));
  return `${stemOf(name)}~${id}-${random.join("")}`;
}

/** As much of a name as leaves room for the rest: a name has 255 bytes at most. */
function stemOf(name: string): string {
  const { read } = new TextEncoder().encodeInto(name, new Uint8Array(200));
  return name.slice(0, read);
}

/** The id of the link in such a name of a pin. */
function idInTemporary(temporary: string, name: string): number | undefined {
  const stem = stemOf(name);
  if (!temporary.startsWith(`${stem}~`)) return undefined;
  const [, id] = /^([1-9]\d{0,9})-[0-9a-f]{16}$/.exec(temporary.slice(stem.length + 1)) ?? [];
  return id === undefined ? undefined : Number(id);
}

/** Whether a live link is attached to what an attachment names; `undefined` where only a second link can say. */
function isAttachedTo<K extends TargetType>(
  kind: KindOf<K>,
  info: BpfLinkInfo,
  attachment: Attachment,
): boolean | undefined {
  return "rawTracepoint" in attachment ? undefined : kind.isAt?.(info as never, attachment);
}

/** Fields that do not belong to the place. */
const OWN = ["id", "programId", "attached", "cookie", "missed"];
/** Fields of the place in a file, which are others after the file was changed. */
const IN_FILE = ["path", "offset", "offsets", "count", "referenceCounterOffset"];

/** Whether two infos name the same place; not if they name none, as those of perf events before Linux 6.6. */
function tellTheSame(made: LinkInfo, old: LinkInfo, pin: FileStatus): boolean {
  if ("event" in made && made.event === "unknown") return false;
  if (placeOf(made, OWN) === placeOf(old, OWN)) return true;
  if (!("path" in made && "path" in old)) return false;
  // the old one is to the file that was there; of its places now only their names may be the same
  return isSamePath(made.path, old.path) && isChangedSince(made.path, pin) &&
    placeOf(made, [...OWN, ...IN_FILE]) === placeOf(old, [...OWN, ...IN_FILE]);
}

function isSamePath(path: string, old: string): boolean {
  return old === path || old === `${path} (deleted)`; // as the kernel says it
}

/**
 * Whether a file was changed or replaced since a pin was made; also by a symbolic link on the way to it that leads to another
 * file now, which may be older than the pin.
 */
function isChangedSince(path: string, pin: FileStatus): boolean {
  const isNew = (fd: number) => fileStatus(fd).changedNs > pin.modifiedNs;
  return opened(path, O_PATH, isNew) || [...linksOn(path)].some((link) => opened(link, O_PATH | O_NOFOLLOW, isNew));
}

const MAX_LINKS = 40; // as the kernel follows

/** The symbolic links that lead to a file. Those of /proc are left out, which no path can stand for. */
function* linksOn(path: string): Generator<string, void, void> {
  const parts = path.split("/");
  for (let count = 1, links = 0; count <= parts.length && links < MAX_LINKS; count++) {
    const place = parts.slice(0, count).join("/");
    if (place === "") continue;
    const target = opened(
      place,
      O_PATH | O_NOFOLLOW,
      (fd) => fileStatus(fd).type === S_IFLNK && fileSystemOf(fd) !== PROC_SUPER_MAGIC ? readLink(fd) : undefined,
    );
    if (target === undefined) continue;
    yield place;
    links++;
    const before = target.startsWith("/") ? [] : parts.slice(0, count - 1);
    parts.splice(0, count, ...before, ...target.split("/"));
    count = 0;
  }
}

/** What `look` sees of the open file. */
function opened<T>(path: string, flags: number, look: (fd: number) => T): T {
  const fd = open(path, flags);
  try {
    return look(fd);
  } finally {
    closeIfOpen(fd);
  }
}

/** What an info says of the place, as text. A function's address may change, where its name is known. */
function placeOf(info: LinkInfo, without: readonly string[]): string {
  const isLeftOut = (key: string) => without.includes(key) || key === "address" && "symbol" in info;
  return JSON.stringify(toJson(info), (key, value) => isLeftOut(key) ? undefined : value);
}
