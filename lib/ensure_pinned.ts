/** Links that outlive a run: the next one takes over what it finds pinned. */
import { checkFlag, checkKeys, checkPath } from "./check.ts";
import { BpfError } from "./error.ts";
import { checkPinnable } from "./handle/owned.ts";
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
import { close, directoryOf, lock, open, rename } from "./os/files.ts";
import { linkGetInfoByFd } from "./sys/link_info.ts";
import type { BpfLinkInfo } from "./sys/type/mod.ts";
import { EEXIST } from "./uapi/errno.ts";
import type { LinkType } from "./uapi/constants.ts";

/** What the functions here need of the class, which imports them. */
type LinkClass = Pick<typeof Link, "attach" | "openPinned">;

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
  readonly sourceId: number;
  readonly replace: boolean;
  /** The target in an error's words. */
  readonly place: string;
  attach(): Link;
  update(link: Link): void;
  /** Whether a live link is attached to the target; `undefined` where only a second link can say. */
  isAt(link: Link): boolean | undefined;
}

/** {@linkcode Link.ensurePinned}. */
export function ensurePinned<K extends TargetType>(
  linkClass: LinkClass,
  path: string | URL,
  source: SourceOf<K>,
  target: AttachTargets[K] & { type: K },
  options: { replace?: boolean | undefined } = {},
): EnsuredLink<LinkTypeOf<K>> {
  const file = checkPath(path, "path"), kind = kindFor<K>(target);
  checkKeys(options, "options", ["replace"]);
  const replace = checkFlag(options.replace, "options.replace");
  const attachment = kind.prepare(source, target); // checks the target, before anything is done
  const wanted: Wanted = {
    file,
    sourceId: source.id,
    replace,
    place: kind.describe(target),
    attach: () => linkClass.attach<K>(source, target) as Link<LinkType>,
    update: (link) => link.update(source),
    isAt: (link) => link.type === kind.linkType && isAttachedTo(kind, linkGetInfoByFd(link.fd), attachment),
  };
  try {
    return ensure(linkClass, wanted);
  } finally {
    closeTemporary(attachment);
  }
}

function ensure<T extends LinkType>(linkClass: LinkClass, wanted: Wanted): EnsuredLink<T> {
  const { file } = wanted, directory = open(directoryOf(file));
  try {
    checkPinnable(file);
    lock(directory);
    {
      using abandoned = openIfThere(linkClass, temporaryOf(file)); // by a run that was killed
      if (abandoned !== undefined) end(abandoned).unpin();
    }
    using old = openIfThere(linkClass, file);
    const outcome = old === undefined ? create(wanted) : takeOver(old, wanted);
    return new Ensured<T>(linkClass.openPinned(file), outcome);
  } finally {
    close(directory); // and with it the lock
  }
}

function create({ file, attach }: Wanted): "created" {
  using link = attach();
  link.pin(file);
  return "created";
}

/**
 * Puts the program into the pinned link, or a new link into its place:
 *
 * | the old link | then |
 * | --- | --- |
 * | is detached | a new link takes its place |
 * | is elsewhere | the same with `replace`, else an error |
 * | is at the target and has the program | nothing |
 * | is at the target and has an update | it gets the program |
 * | is at the target, no update | a new link takes its place; if the target takes one link, the old one ends first |
 *
 * Where the kernel does not say whether it is at the target, a new link is made first, to compare with.
 */
function takeOver(old: Link, wanted: Wanted): "updated" | "replaced" {
  if (old.attached() === false) return replace(old, wanted.attach(), wanted);
  const has = holds(old, wanted.sourceId);
  let isSame = wanted.isAt(old), made: Link | undefined;
  using stack = new DisposableStack();
  const attach = () => stack.use(wanted.attach());
  try {
    if (isSame === undefined) {
      made = attach();
      isSame = tellTheSame(made.info(), old.info());
    }
  } catch (error) {
    if (has && isTaken(error)) return "updated"; // the place takes this program once
    throw error;
  }
  if (!isSame && !wanted.replace) throw another(old, wanted);
  if (isSame && (has && old.attached() || updates(old, wanted, made !== undefined))) return "updated";
  try {
    made ??= attach();
  } catch (error) {
    if (!isSame || !isTaken(error)) throw error;
    if (has) return "updated";
    end(old); // the place takes one link
    made = attach();
  }
  return replace(old, made, wanted);
}

/** Pins a new link over the old one, which then ends: at each moment at least one of them is attached. */
function replace(old: Link, made: Link, { file }: Wanted): "replaced" {
  using link = made;
  const temporary = temporaryOf(file);
  link.pin(temporary);
  try {
    rename(temporary, file);
  } catch (error) {
    link.onClose = "detach"; // and with it the temporary pin
    throw error;
  }
  end(old);
  return "replaced";
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

function openIfThere(linkClass: LinkClass, path: string): AnyLink | undefined {
  try {
    return linkClass.openPinned(path);
  } catch (error) {
    if (error instanceof BpfError && error.reason === "gone") return undefined;
    throw error;
  }
}

/** Beside the pin, where a rename can reach it; names may have no dot. */
function temporaryOf(file: string): string {
  return `${file}~`;
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

/** Whether two infos name the same place; not if they name none, as those of perf events before Linux 6.6. */
function tellTheSame(one: LinkInfo, other: LinkInfo): boolean {
  return placeOf(one) === placeOf(other) && !("event" in one && one.event === "unknown");
}

function placeOf(info: LinkInfo): string {
  return JSON.stringify(toJson(info), (key, value) => OWN.includes(key) ? undefined : value);
}
