/** The creation of a link, from a target to an fd. */
import { kindOf } from "../check.ts";
import { BpfError, rename } from "../error.ts";
import type { AttachOptions } from "../link.ts";
import { BpfMap } from "../map.ts";
import { close } from "../os/files.ts";
import { expectedAttachTypeOf, Program } from "../program.ts";
import { linkCreate, linkCreateAsync } from "../sys/link_create.ts";
import { linkGetInfoByFd } from "../sys/link_info.ts";
import { rawTracepointOpen, rawTracepointOpenAsync } from "../sys/raw_tracepoint.ts";
import { EINVAL } from "../uapi/errno.ts";
import type { LinkType } from "../uapi/types.ts";
import { type AttachTargets, type Kind, kindFor, type SourceOf, type TargetType } from "./mod.ts";
import { type Attachment, closeTemporary } from "./target.ts";

/** Everything about a link that is to be made, checked. */
export interface AttachmentPlan<K extends TargetType> {
  readonly kind: Kind<K>;
  readonly source: SourceOf<K>;
  readonly sourceFd: number;
  readonly target: AttachTargets[K];
  readonly options: AttachOptions;
  readonly attachment: Attachment;
}

/** Checks a source and a target, and opens what the target names. One of the two below must follow. */
export function planAttachment<K extends TargetType>(
  source: SourceOf<K>,
  target: AttachTargets[K] & { type: K },
  options: AttachOptions,
): AttachmentPlan<K> {
  const kind = kindFor<K>(target), sourceFd = fdOf(source, kind.linkType);
  options.signal?.throwIfAborted();
  return { kind, source, sourceFd, target, options, attachment: kind.prepare(source, target) };
}

/** Makes the link and returns its fd. */
export function attachNow<K extends TargetType>(plan: AttachmentPlan<K>): number {
  const { attachment: a, sourceFd } = plan;
  try {
    if ("rawTracepoint" in a) return checkMade(plan, rawTracepointOpen(a.rawTracepoint, sourceFd, a.cookie));
    return linkCreate(sourceFd, a.targetFd, a.attachType, a.options);
  } catch (error) {
    throw refused(plan, error);
  } finally {
    closeTemporary(a);
  }
}

/** The same on another thread. */
export async function attachLater<K extends TargetType>(plan: AttachmentPlan<K>): Promise<number> {
  const { attachment: a, sourceFd } = plan;
  try {
    if ("rawTracepoint" in a) {
      return checkMade(plan, await rawTracepointOpenAsync(a.rawTracepoint, sourceFd, a.cookie));
    }
    return await linkCreateAsync(sourceFd, a.targetFd, a.attachType, a.options);
  } catch (error) {
    throw refused(plan, error);
  } finally {
    closeTemporary(a);
  }
}

/** Whether an opened program was loaded for a function or for a tracepoint, only its link tells. */
function checkMade<K extends TargetType>({ kind, source, target }: AttachmentPlan<K>, fd: number): number {
  if (target.type === "raw_tracepoint" || !(source instanceof Program)) return fd;
  if (expectedAttachTypeOf(source) !== undefined) return fd;
  const { type } = linkGetInfoByFd(fd);
  if (type === kind.linkType) return fd;
  close(fd);
  throw new BpfError(EINVAL, {
    action: `Cannot attach program ${source.id}`,
    command: "RAW_TRACEPOINT_OPEN",
    reason: "invalid",
    meaning: `it was loaded for a ${type === "tracing" ? "function" : "tracepoint"}`,
    hint: `use the target { type: "${type === "tracing" ? "tracing" : "tp_btf"}" }`,
  });
}

function refused<K extends TargetType>({ source, kind, target }: AttachmentPlan<K>, error: unknown): unknown {
  const what = `${source instanceof BpfMap ? "map" : "program"} ${source.id}`;
  return rename(error, `Cannot attach ${what} to ${kind.describe(target)}`);
}

/** The fd of what a link of this type holds: a program, or for struct_ops a map. */
export function fdOf(source: unknown, type: LinkType, name = "source"): number {
  const held = type === "struct_ops" ? BpfMap : Program;
  if (source instanceof held) return source.fd;
  throw new TypeError(`${name} must be a ${held.name}, not ${kindOf(source)}`);
}
