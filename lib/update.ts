/** The update of a link, and what the kernel does not check about it. */
import { checkKeys } from "./check.ts";
import { BpfError, rename } from "./error.ts";
import { fdOf } from "./kind/attach.ts";
import { updateStructOps } from "./kind/struct_ops.ts";
import type { BpfMap } from "./map.ts";
import { expectedAttachTypeOf, type Program } from "./program.ts";
import { linkUpdate } from "./sys/link.ts";
import { programFits } from "./sys/link_create.ts";
import { linkGetInfoByFd } from "./sys/link_info.ts";
import { EINVAL } from "./uapi/errno.ts";
import type { AttachType, LinkType } from "./uapi/types.ts";

type Source = Program | BpfMap;

/** Puts another program or map into the link of an fd, whose handle is `link`; `describe` names it in an error. */
export function updateLink(
  link: object,
  linkFd: number,
  type: LinkType,
  source: Source,
  options: { expected?: Source | undefined } | undefined,
  describe: () => string,
): void {
  if (options !== undefined) checkKeys(options, "options", ["expected"]);
  const expected = options?.expected, newFd = fdOf(source, type);
  const oldFd = expected === undefined ? undefined : fdOf(expected, type, "options.expected");
  try {
    if (type === "cgroup") checkFit(link, linkFd, source as Program);
    if (type === "struct_ops") updateStructOps(linkFd, source as BpfMap, expected as BpfMap | undefined);
    else linkUpdate(linkFd, newFd, oldFd === undefined ? undefined : { oldProgFd: oldFd });
  } catch (error) {
    throw rename(expected === undefined ? error : raceOrPolicy(linkFd, expected, error), `Cannot update ${describe()}`);
  }
}

/** The attach types of cgroup links, by handle: they never change. */
const attachTypes = new WeakMap<object, AttachType>();

/** A cgroup would run a program in a place that it was not verified for. */
function checkFit(link: object, linkFd: number, program: Program): void {
  const { fd, id, type } = program, expected = expectedAttachTypeOf(program);
  if (expected !== undefined && expected === attachTypes.get(link)) return; // it was verified for this place
  const info = linkGetInfoByFd(linkFd);
  if (info.type !== "cgroup" || info.cgroupId === 0n) return;
  attachTypes.set(link, info.attachType);
  if (expected === info.attachType || programFits(fd, info.attachType)) return;
  throw new BpfError(EINVAL, {
    action: "Cannot update link",
    command: "LINK_UPDATE",
    reason: "mismatch",
    meaning: `program ${id} (${type}) does not fit the attach type ${info.attachType}`,
    hint: "load it for this attach type; the kernel would run it all the same",
  });
}

/** EPERM is a lost race, unless the link still holds what was expected. */
function raceOrPolicy(linkFd: number, expected: Source, error: unknown): unknown {
  if (!(error instanceof BpfError && error.code === "EPERM")) return error;
  const info = linkGetInfoByFd(linkFd);
  if ((info.type === "struct_ops" ? info.mapId : info.progId) !== expected.id) return error;
  return new BpfError(error.errno, {
    action: "Cannot update link",
    command: error.command,
    reason: "policy",
    meaning: "a security module or seccomp refuses it, for the link holds what was expected",
    cause: error,
  });
}
