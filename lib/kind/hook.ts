/** What the questions about hooks have in common. */
import { close } from "../os/files.ts";
import { type ProgQuery, progQuery } from "../sys/prog_query.ts";
import type { AttachType, AttachTypeName } from "../uapi/constants.ts";
import type { FoundEntry, LinkCreation, Look } from "./kind.ts";
import { type Device, interfaceTarget, type Netns } from "./target.ts";

/** Asks by PROG_QUERY. */
export function ask(
  target: number,
  attachType: AttachTypeName | undefined,
  options: { netns?: number | undefined },
): ProgQuery {
  return progQuery(target, attachType!, options);
}

/** Whether a link is in a hook whose links the kernel reports. */
export function isListed(
  { id, attachType }: { readonly id: number; readonly attachType: AttachType },
  { attachType: wanted, targetFd, options }: LinkCreation,
): boolean {
  return attachType === wanted &&
    ask(targetFd, wanted, { netns: options?.netns }).progs.some(({ linkId }) => linkId === id);
}

/** Looks at the hook of an interface, in this or another network namespace. */
export function lookAtInterface(
  target: { device: Device; netns?: Netns | undefined },
  look: (ifindex: number, options: { netns?: number | undefined }) => Look,
): Look {
  const { targetFd, options, temporary } = interfaceTarget(target, {});
  return within({ fd: targetFd, temporary }, (ifindex) => look(ifindex, options));
}

/** Looks at what was opened for it, which is closed then. */
export function within(target: { fd: number; temporary: readonly number[] }, look: (fd: number) => Look): Look {
  using fds = new DisposableStack();
  for (const fd of target.temporary) fds.adopt(fd, close);
  return look(target.fd);
}

/** The answer of PROG_QUERY as entries, which are what runs, too, except in a cgroup. */
export function ordered({ revision, attachFlags, progs }: ProgQuery): Look {
  const entries = progs.map(({ progId, progAttachFlags, linkId }): FoundEntry => ({
    programId: progId,
    ...linkId ? { linkId } : {},
    attachFlags: progAttachFlags ?? attachFlags,
  }));
  return { revision, entries, effective: entries };
}
