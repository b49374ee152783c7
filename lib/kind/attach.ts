/** The creation of a link, from a target to an fd. */
import { BpfError, type Explanation } from "../error.ts";
import { checkHandle, isHandle } from "../handle/brand.ts";
import { closeIfOpen } from "../os/files.ts";
import { expectedAttachTypeOf, type Program } from "../program.ts";
import { linkCreate, linkCreateAsync } from "../sys/link_create.ts";
import { linkGetInfoByFd } from "../sys/link_info.ts";
import { unlessRefused } from "../refusal.ts";
import { rawTracepointOpen, rawTracepointOpenAsync } from "../sys/raw_tracepoint.ts";
import { EINVAL } from "../uapi/errno.ts";
import type { AttachTypeName, LinkType, ProgramType } from "../uapi/constants.ts";
import type { Attachment } from "./kind.ts";
import {
  type AttachTargets,
  kindFor,
  type KindOf,
  linkKindOf,
  type LinkTypeOf,
  type SourceOf,
  type TargetType,
} from "./mod.ts";
import { closeTemporary } from "./target.ts";

/** What the end of a link's scope does, and what ends it early. */
export interface AttachOptions {
  /** Ends the link when it is aborted: detaches and closes it, whatever `onClose` says. */
  signal?: AbortSignal | undefined;
  /** What `Link.close` does; `"detach"` if absent. If given, it wins over what `Link.pin` would choose. */
  onClose?: "detach" | "keep" | undefined;
}

/** Where a handle has its link from. */
export interface Origin {
  /** The handle made the link; else it opened it. */
  readonly isMade: boolean;
  /** It was made for a target in this network namespace. */
  readonly isHere: boolean;
  /** As what the program is attached, where the type has several. */
  readonly attachType: AttachTypeName | undefined;
}

/** A link that was made. */
export interface MadeLink<K extends TargetType> extends Origin {
  readonly fd: number;
  readonly type: LinkTypeOf<K>;
}

/** Everything about a link that is to be made, checked; what its target names is open. */
interface Plan<K extends TargetType> {
  readonly kind: KindOf<K>;
  readonly source: SourceOf<K>;
  readonly sourceFd: number;
  readonly target: AttachTargets[K];
  readonly attachment: Attachment;
}

function plan<K extends TargetType>(
  source: SourceOf<K>,
  target: AttachTargets[K] & { type: K },
  signal: AbortSignal | undefined,
): Plan<K> {
  const kind = kindFor<K>(target), sourceFd = fdOf(source, kind.linkType);
  signal?.throwIfAborted();
  return { kind, source, sourceFd, target, attachment: kind.prepare(source, target) };
}

/** The two ways to make a link. */
interface Calls<R> {
  linkCreate(...args: Parameters<typeof linkCreate>): R;
  rawTracepointOpen(...args: Parameters<typeof rawTracepointOpen>): R;
}
const NOW: Calls<number> = { linkCreate, rawTracepointOpen };
const LATER: Calls<Promise<number>> = { linkCreate: linkCreateAsync, rawTracepointOpen: rawTracepointOpenAsync };

/** Makes a link. */
export function attachNow<K extends TargetType>(
  source: SourceOf<K>,
  target: AttachTargets[K] & { type: K },
  signal: AbortSignal | undefined,
): MadeLink<K> {
  const planned = plan<K>(source, target, signal);
  try {
    return made(planned, submit(NOW, planned));
  } catch (error) {
    throw explained(error, planned);
  } finally {
    closeTemporary(planned.attachment);
  }
}

/** {@linkcode attachNow} on another thread. */
export async function attachLater<K extends TargetType>(
  source: SourceOf<K>,
  target: AttachTargets[K] & { type: K },
  signal: AbortSignal | undefined,
): Promise<MadeLink<K>> {
  const planned = plan<K>(source, target, signal);
  try {
    return made(planned, await submit(LATER, planned));
  } catch (error) {
    throw explained(error, planned);
  } finally {
    closeTemporary(planned.attachment);
  }
}

function submit<K extends TargetType, R>(calls: Calls<R>, { attachment: a, sourceFd }: Plan<K>): R {
  return "rawTracepoint" in a
    ? calls.rawTracepointOpen(a.rawTracepoint, sourceFd, a.cookie)
    : calls.linkCreate(sourceFd, a.targetFd, a.attachType, a.options);
}

function actionOf<K extends TargetType>({ source, kind, target }: Plan<K>): string {
  return `Cannot attach ${isHandle(source, "map") ? "map" : "program"} ${source.id} to ${kind.describe(target)}`;
}

/** The same refusal in the user's words, explained by the answers to further questions. */
function explained<K extends TargetType>(error: unknown, planned: Plan<K>): unknown {
  if (!(error instanceof BpfError)) return error;
  const { kind, target, attachment, source } = planned;
  // a kernel without such links answers every question about them with EINVAL
  const isTooOld = error.code === "EINVAL" && error.reason === "unsupported";
  const { reason, meaning, hint } = wrongType(error, planned) ??
    (isTooOld ? undefined : unlessRefused(() => kind.whyRefused?.(error, target, attachment, source))) ?? error;
  const { errno, command } = error;
  return new BpfError(errno, { action: actionOf(planned), command, reason, meaning, hint });
}

/** The kernel says EINVAL of a program of another type, and of much else. */
function wrongType<K extends TargetType>(
  { code }: BpfError,
  { kind, target, source }: Plan<K>,
): Explanation | undefined {
  if (code !== "EINVAL" || kind.programs === undefined || kind.programs.includes(source.type as ProgramType)) return;
  return {
    reason: "invalid",
    meaning: `the program is of type ${source.type}`,
    hint: `targets of type ${target.type} take programs of type ${kind.programs.join(" or ")}`,
  };
}

function made<K extends TargetType>(planned: Plan<K>, fd: number): MadeLink<K> {
  const { kind, target, attachment } = planned;
  if ("rawTracepoint" in attachment && attachment.rawTracepoint === undefined) checkType(planned, fd);
  return {
    fd,
    type: kind.linkType,
    isMade: true,
    isHere: !("netns" in target && target.netns !== undefined),
    attachType: "attachType" in attachment ? attachment.attachType : undefined,
  };
}

/** Whether an opened program was loaded for a function or for a tracepoint, only its link says; a wrong one is closed. */
function checkType<K extends TargetType>({ kind, source, target }: Plan<K>, fd: number): void {
  if (expectedAttachTypeOf(source as Program) !== undefined) return;
  let type: LinkType | undefined;
  try {
    type = linkGetInfoByFd(fd).type;
  } finally {
    if (type !== kind.linkType) closeIfOpen(fd);
  }
  if (type === kind.linkType) return;
  throw new BpfError(EINVAL, {
    action: `Cannot attach program ${source.id} to ${kind.describe(target)}`,
    command: "RAW_TRACEPOINT_OPEN",
    reason: "invalid",
    meaning: `it was loaded for a ${type === "tracing" ? "function" : "tracepoint"}`,
    hint: `use the target { type: "${type === "tracing" ? "tracing" : "tp_btf"}" }`,
  });
}

/** The fd of what a link of this type holds: a program, or for some a map. */
export function fdOf(source: Program | SourceOf<TargetType>, type: LinkType): number {
  checkHandle(source, linkKindOf(type).holds ?? "program", "source");
  return source.fd;
}
