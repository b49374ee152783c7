/** The creation of a link, from a target to an fd. */
import { BpfError } from "../error.ts";
import { checkHandle, isHandle } from "../handle/brand.ts";
import { close } from "../os/files.ts";
import { expectedAttachTypeOf, type Program } from "../program.ts";
import { createLink, createLinkAsync } from "../sys/link_create.ts";
import { linkGetInfoByFd } from "../sys/link_info.ts";
import { openRawTracepoint, openRawTracepointAsync } from "../sys/raw_tracepoint.ts";
import { EINVAL } from "../uapi/errno.ts";
import type { LinkType } from "../uapi/types.ts";
import type { Attachment } from "./kind.ts";
import { type AttachTargets, kindFor, type KindOf, linkKindOf, type SourceOf, type TargetType } from "./mod.ts";
import { closeTemporary } from "./target.ts";

/** What the end of a link's scope does, and what ends it early. */
export interface AttachOptions {
  /** Ends the link when it is aborted: detaches and closes it, whatever `onClose` says. */
  signal?: AbortSignal | undefined;
  /** What `Link.close` does; `"detach"` if absent. If given, it wins over what `Link.pin` would choose. */
  onClose?: "detach" | "keep" | undefined;
}

/** Everything about a link that is to be made, checked. */
export interface AttachmentPlan<K extends TargetType> {
  readonly kind: KindOf<K>;
  readonly source: SourceOf<K>;
  readonly sourceFd: number;
  readonly target: AttachTargets[K];
  readonly attachment: Attachment;
}

/**
 * Checks a source and a target, and opens what the target names. Pass the plan to attachNow or attachLater exactly once:
 * they close what it opened.
 */
export function planAttachment<K extends TargetType>(
  source: SourceOf<K>,
  target: AttachTargets[K] & { type: K },
  signal: AbortSignal | undefined,
): AttachmentPlan<K> {
  const kind = kindFor<K>(target), sourceFd = fdOf(source, kind.linkType);
  signal?.throwIfAborted();
  return { kind, source, sourceFd, target, attachment: kind.prepare(source, target) };
}

/** The two ways to make a link. */
interface Calls<R> {
  createLink(...args: Parameters<typeof createLink>): R;
  openRawTracepoint(...args: Parameters<typeof openRawTracepoint>): R;
}
const NOW: Calls<number> = { createLink, openRawTracepoint };
const LATER: Calls<Promise<number>> = { createLink: createLinkAsync, openRawTracepoint: openRawTracepointAsync };

/** Makes the link and returns its fd. */
export function attachNow<K extends TargetType>(plan: AttachmentPlan<K>): number {
  try {
    return checkMade(plan, submit(NOW, plan));
  } finally {
    closeTemporary(plan.attachment);
  }
}

/** {@linkcode attachNow} on another thread. */
export async function attachLater<K extends TargetType>(plan: AttachmentPlan<K>): Promise<number> {
  try {
    return checkMade(plan, await submit(LATER, plan));
  } finally {
    closeTemporary(plan.attachment);
  }
}

function submit<K extends TargetType, R>(calls: Calls<R>, plan: AttachmentPlan<K>): R {
  const { attachment: a, sourceFd, source, kind, target } = plan;
  const action = () =>
    `Cannot attach ${isHandle(source, "map") ? "map" : "program"} ${source.id} to ${kind.describe(target)}`;
  return "rawTracepoint" in a
    ? calls.openRawTracepoint(a.rawTracepoint, sourceFd, a.cookie, action)
    : calls.createLink(sourceFd, a.targetFd, a.attachType, a.options, action);
}

/** Whether an opened program was loaded for a function or for a tracepoint, only its link says. */
function checkMade<K extends TargetType>({ kind, source, target, attachment }: AttachmentPlan<K>, fd: number): number {
  if (!("rawTracepoint" in attachment) || attachment.rawTracepoint !== undefined) return fd;
  if (expectedAttachTypeOf(source as Program) !== undefined) return fd;
  const { type } = linkGetInfoByFd(fd);
  if (type === kind.linkType) return fd;
  close(fd);
  throw new BpfError(EINVAL, {
    action: `Cannot attach program ${source.id} to ${kind.describe(target)}`,
    command: "RAW_TRACEPOINT_OPEN",
    reason: "invalid",
    meaning: `it was loaded for a ${type === "tracing" ? "function" : "tracepoint"}`,
    hint: `use the target { type: "${type === "tracing" ? "tracing" : "tp_btf"}" }`,
  });
}

/** The fd of what a link of this type holds: a program, or for some a map. */
export function fdOf(source: Program | SourceOf<TargetType>, type: LinkType, name = "source"): number {
  checkHandle(source, linkKindOf(type).holds ?? "program", name);
  return source.fd;
}
