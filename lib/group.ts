/** Links that come and go together, and links that outlive a run. */
import { BpfError } from "./error.ts";
import { closeTemporary } from "./kind/attachment.ts";
import { type AttachTargets, kindFor, type LinkTypeOf, type SourceOf, type TargetType } from "./kind/mod.ts";
import { isAttachedTo, tellTheSame } from "./kind/same.ts";
import type { AnyLink, AttachOptions, Link } from "./link.ts";
import { checkPinnable, directoryOf } from "./pin.ts";
import { checkFlag, checkKeys, checkPath, kindOf } from "./sys/check.ts";
import { linkGetInfoByFd } from "./sys/link_info.ts";
import { close, lock, open, rename } from "./sys/system.ts";
import { EEXIST } from "./uapi/errno.ts";
import type { LinkType } from "./uapi/types.ts";

/** What the functions here need of the class, which imports them. */
type LinkClass = Pick<typeof Link, "attach" | "attachAsync" | "openPinned">;

/** One link of a group: what to attach, and where to. */
export type AttachEntry<K extends TargetType = TargetType> = {
  [P in K]: readonly [source: SourceOf<P>, target: AttachTargets[P]];
}[K];

/** Links that end as a whole, in reverse order; see {@linkcode Link.attachAll}. */
export interface LinkGroup extends Iterable<AnyLink>, Disposable, AsyncDisposable {
  /** The links in the order of their entries. */
  readonly links: readonly AnyLink[];
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

/** {@linkcode Link.attachAll}. */
export function attachAll(linkClass: LinkClass, entries: readonly AttachEntry[], options: AttachOptions): LinkGroup {
  checkEntries(entries);
  const { signal, onClose } = options, group = new Group();
  signal?.throwIfAborted();
  entries.forEach(([source, target], i) => {
    try {
      group.links.push(linkClass.attach(source, target, { onClose }) as AnyLink);
    } catch (error) {
      throw failed(i, entries, [error, ...group.undo()]);
    }
  });
  group.endOn(signal);
  return group;
}

/** {@linkcode Link.attachAllAsync}. */
export async function attachAllAsync(
  linkClass: LinkClass,
  entries: readonly AttachEntry[],
  options: AttachOptions,
): Promise<LinkGroup> {
  checkEntries(entries);
  const { signal, onClose } = options, group = new Group();
  signal?.throwIfAborted();
  for (const [i, [source, target]] of [...entries].entries()) {
    try {
      group.links.push(await linkClass.attachAsync(source, target, { onClose }) as AnyLink);
    } catch (error) {
      throw failed(i, entries, [error, ...await group.undoAsync()]);
    }
    if (signal?.aborted) {
      const failures = await group.undoAsync();
      throw failures.length === 0 ? signal.reason : failed(i, entries, [signal.reason, ...failures]);
    }
  }
  group.endOn(signal);
  return group;
}

class Group implements LinkGroup {
  readonly links: AnyLink[] = [];
  #stopListening: (() => void) | undefined;
  #failures: unknown[] = []; // of an end by signal, for the next one

  [Symbol.iterator](): Iterator<AnyLink> {
    return this.links.values();
  }

  [Symbol.dispose](): void {
    this.#stopListening?.();
    throwAll([...this.#failures.splice(0), ...this.#close()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopListening?.();
    throwAll([...this.#failures.splice(0), ...await this.#closeAsync()]);
  }

  /** Takes back what was attached so far, and returns what failed. */
  undo(): unknown[] {
    this.#detachAll();
    return this.#close();
  }

  undoAsync(): Promise<unknown[]> {
    this.#detachAll();
    return this.#closeAsync();
  }

  endOn(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const end = () => {
      this.#failures = this.undo();
    };
    signal.addEventListener("abort", end, { once: true });
    this.#stopListening = () => signal.removeEventListener("abort", end);
  }

  #detachAll(): void {
    for (const link of this.links) link.onClose = "detach";
  }

  #close(): unknown[] {
    const failures: unknown[] = [];
    for (const link of this.links.toReversed()) {
      try {
        link.close();
      } catch (error) {
        failures.push(error);
      }
    }
    return failures;
  }

  async #closeAsync(): Promise<unknown[]> {
    const failures: unknown[] = [];
    for (const link of this.links.toReversed()) {
      try {
        await link.closeAsync();
      } catch (error) {
        failures.push(error);
      }
    }
    return failures;
  }
}

function checkEntries(entries: readonly AttachEntry[]): void {
  if (!Array.isArray(entries)) throw new TypeError(`entries must be an array, not ${kindOf(entries)}`);
  entries.forEach((entry, i) => {
    if (!Array.isArray(entry) || entry.length !== 2) {
      throw new TypeError(`entries[${i}] must be a source and a target, [source, target]`);
    }
  });
}

function failed(i: number, entries: readonly AttachEntry[], errors: unknown[]): AggregateError {
  const [first] = errors;
  const why = first instanceof Error ? first.message : String(first);
  return new AggregateError(errors, `Cannot attach entry ${i} of ${entries.length}, so none is attached: ${why}`);
}

function throwAll(failures: unknown[]): void {
  if (failures.length > 0) throw new AggregateError(failures, `Cannot end ${failures.length} links of the group`);
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
  /** Whether a live link is attached to the target; `undefined` where only a second link can tell. */
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
    isAt: (link) => link.type === kind.linkType && isAttachedTo(linkGetInfoByFd(link.fd), attachment),
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

/** Puts the program into the pinned link, or a new link into its place. */
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

/** Updates a link. False if it has come loose or has no update; `orInvalid`: also if the kernel says so by EINVAL. */
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
  return (info.type === "struct_ops" ? info.mapId : info.progId) === sourceId;
}

function isTaken(error: unknown): boolean {
  return error instanceof BpfError && (error.reason === "busy" || error.reason === "exists");
}

function another(old: Link, { file, place }: Wanted): BpfError {
  const info = old.info(), isTold = !("event" in info && info.event === "unknown");
  return new BpfError(EEXIST, {
    action: `Cannot pin a link to ${place} as "${file}"`,
    command: "OBJ_PIN",
    reason: "mismatch",
    meaning: `link ${old.id} (${old.type}) is pinned there, and ${
      isTold ? "is attached to something else" : "this kernel does not tell what it is attached to"
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
