/** What hooks have in common that run several programs in an order (the kernel's `mprog`): tcx, netkit, cgroups. */
import { checkFd, checkKeys, checkU32, checkU64, keysOf } from "../../check.ts";
import type { Request } from "../../ffi/request.ts";
import type { Rows } from "../../refusal.ts";
import { attachTypeName, type LinkType } from "../../uapi/constants.ts";
import { A, type Answer, B, C, type Fdinfo, type LinkInfoHead, type LinkRecord } from "./row.ts";

/** Where among the programs of a hook a link goes; see the flags of {@linkcode LinkCreateOptions}. */
export interface RelativeOptions {
  /** An fd of the program or link to stand beside. */
  relativeFd?: number | undefined;
  /** Its id instead, with BPF_F_ID (32) among the flags. */
  relativeId?: number | undefined;
  /** The revision that the hook must have, else `ESTALE`; 0n is unchecked. */
  expectedRevision?: bigint | undefined;
}

const RELATIVE_KEYS = keysOf<RelativeOptions>({ relativeFd: true, relativeId: true, expectedRevision: true });

/** Writes a position into LINK_CREATE's attr. */
export function encodeRelative(
  request: Request,
  at: { readonly relative_fd: number; readonly relative_id: number; readonly expected_revision: number },
  relative: RelativeOptions,
  name: string,
): void {
  checkKeys(relative, name, RELATIVE_KEYS);
  const { relativeFd, relativeId, expectedRevision } = relative;
  if (relativeFd !== undefined && relativeId !== undefined) {
    throw new TypeError(`${name} may have relativeFd or relativeId, not both`);
  }
  if (relativeFd !== undefined) request.fd(at.relative_fd, checkFd(relativeFd, `${name}.relativeFd`));
  if (relativeId !== undefined) request.u32(at.relative_id, checkU32(relativeId, `${name}.relativeId`));
  if (expectedRevision !== undefined) {
    request.u64(at.expected_revision, checkU64(expectedRevision, `${name}.expectedRevision`));
  }
}

/** What the hooks of interfaces answer alike; `hook` is their name. */
export function hookRefusals(hook: string): Rows {
  return {
    EEXIST: [
      "exists",
      "the program is attached to this hook already",
      `a program can be in a ${hook} hook once; load it a second time`,
    ],
    ERANGE: [
      "limit",
      "the hook has its 63 programs already, or the position contradicts itself",
      "detach one of them first",
    ],
    ENOENT: ["gone", "the anchor is not attached to this hook", "query the hook again"],
  };
}

/** What an interface's hook has beside id and program. */
interface HookFields {
  readonly ifindex: number;
  readonly attachType: string;
  readonly netnsIno?: number;
}

/** The fields of the info. */
export function hookInfo(answer: Answer, at: { readonly ifindex: number; readonly attach_type: number }): HookFields {
  return { ifindex: answer.u32(at.ifindex), attachType: attachTypeName(answer.u32(at.attach_type)) };
}

/** The same from fdinfo. */
export function hookFdinfo(lines: Fdinfo): HookFields {
  return { ifindex: lines.u32("ifindex"), attachType: attachTypeName(lines.u32("attach_type")) };
}

/** What is written of such links: their struct names their attach type `location`. */
export const HOOK_RECORD: Pick<LinkRecord<unknown>, "fields" | "more"> = {
  fields: [[A, "link.attach_type", "location"], [B, "dev.ifindex"]],
  more: [[C, "dev.nd_net.net.ns.inum"]],
};

/** Reads that. */
export function readHookRecord<T extends LinkType>(
  type: T,
  words: Uint32Array,
  at: number,
): LinkInfoHead<T> & HookFields {
  const id = words[at + 1]!, progId = words[at + 2]!, attachType = attachTypeName(words[at + A]!);
  const ifindex = words[at + B]!, netnsIno = words[at + C]!;
  return netnsIno === 0
    ? { type, id, progId, ifindex, attachType }
    : { type, id, progId, ifindex, attachType, netnsIno };
}
