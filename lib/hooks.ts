/** The places that the kernel can be asked about: what is attached there, with or without links. */
import { BpfError } from "./error.ts";
import type { HookKind } from "./kind/kind.ts";
import { hookKinds, type LinkInfo, linkKindOf } from "./kind/mod.ts";
import { closeIfOpen, open } from "./os/files.ts";
import { deviceIndex, interfaceNames, OWN_NETNS, ownNetns } from "./os/interfaces.ts";
import { cgroups } from "./os/proc.ts";
import { isNoAnswer } from "./refusal.ts";
import type { QueriedProgram } from "./sys/prog_query.ts";
import { rowOf } from "./sys/type/mod.ts";
import type { AttachType, LinkType } from "./uapi/constants.ts";

/** Where a hook is. */
export interface Where {
  readonly type: LinkType;
  readonly attachType?: AttachType;
  readonly ifindex?: number;
  readonly deviceName?: string;
  readonly netnsIno?: number;
  readonly cgroupId?: bigint;
  readonly cgroupPath?: string;
}

/** A place with its programs. */
export interface Place {
  readonly where: Where;
  readonly revision?: bigint;
  /** The programs in the kernel's order. */
  readonly programs: readonly (QueriedProgram & { readonly attachFlags: number })[];
}

/** A place in a few words. */
export function placeText(where: Where): string {
  return linkKindOf(where.type).where(where as never, { device: where.deviceName, cgroup: where.cgroupPath });
}

/** What the kernel says of all places that have programs; `isRefused` if it may not be asked about some. */
export function places(): { places: Place[]; isRefused: boolean } {
  const found: Place[] = [];
  let isRefused = false;
  const attempt = (look: () => void): void => {
    try {
      look();
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      if (isNoAnswer(error)) throw error;
      isRefused ||= ["EPERM", "EACCES"].includes(error.code); // else this kernel has no such places, or it is gone
    }
  };
  const askAll = (at: HookKind<never>["at"], target: number, where: Omit<Where, "type">): void => {
    for (const [type, hook] of hookKinds()) {
      if (hook.at !== at) continue;
      for (const attachType of hook.attachTypes.length === 0 ? [undefined] : hook.attachTypes) {
        attempt(() => {
          const { progs, attachFlags, revision } = hook.ask(target, attachType, {});
          if (progs.length === 0) return;
          found.push({
            where: { type, ...where, ...attachType === undefined ? {} : { attachType } },
            ...revision === undefined ? {} : { revision },
            programs: progs.map((it) => ({ attachFlags: it.progAttachFlags ?? attachFlags, ...it })),
          });
        });
      }
    }
  };
  const askFile = (at: HookKind<never>["at"], path: string, where: Omit<Where, "type">): void =>
    attempt(() => {
      const fd = open(path);
      try {
        askAll(at, fd, where);
      } finally {
        closeIfOpen(fd);
      }
    });
  for (const deviceName of interfaceNames()) {
    attempt(() => {
      const ifindex = deviceIndex(deviceName); // it may be gone
      askAll("interface", ifindex, { ifindex, deviceName });
    });
  }
  askFile("netns", OWN_NETNS, { netnsIno: ownNetns() });
  for (const { path, id } of cgroups()) askFile("cgroup", path, { cgroupId: id, cgroupPath: path });
  return { places: found, isRefused };
}

/** Whether the kernel reports the links of such hooks; else they are found among all links. */
export function reportsLinks(type: LinkType): boolean {
  return rowOf(type)?.query === "links";
}

/** Whether a link says that it is at a place, as far as numbers tell. */
export function isAt(info: LinkInfo, where: Where): boolean {
  const place = rowOf(info.type)?.place;
  return place !== undefined && (info as Where)[place as keyof Where] === where[place as keyof Where];
}
