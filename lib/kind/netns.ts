/** Links to a network namespace. */
import { checkKeys, checkOneOf, keysOf } from "../check.ts";
import type { BpfError, Explanation } from "../error.ts";
import { inode } from "../os/files.ts";
import { OWN_NETNS } from "../os/interfaces.ts";
import type { Program } from "../program.ts";
import { progQuery } from "../sys/prog_query.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import type { AttachType } from "../uapi/constants.ts";
import { ask, ordered, within } from "./hook.ts";
import {
  always,
  type Attachment,
  type Kind,
  type LinkCreation,
  type LinkInfoBase,
  type LinkKind,
  type Look,
} from "./kind.ts";
import { create, NO_TARGET } from "./probe.ts";
import { attachTypeOf, type Netns, openNetns, whyMisfit } from "./target.ts";

/**
 * The programs of a network namespace choose the socket for a new connection (`sk_lookup`) or take packets apart
 * (`flow_dissector`).
 *
 * Since Linux 5.8; `sk_lookup` 5.9. Such links can be updated and detached. A namespace has one flow dissector and up to
 * 64 sk_lookup programs. When its last process and fd are gone they are detached some milliseconds later.
 *
 * @example
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const accept = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return SK_PASS
 * using program = Program.load({ type: "sk_lookup", instructions: accept, expectedAttachType: "sk_lookup" });
 * using link = Link.attach(program, { type: "netns", netns: "/proc/self/ns/net" }); // or /run/netns/NAME
 * console.log(link.info().attachType); // sk_lookup
 * ```
 */
export interface NetnsTarget {
  /** The kind of target. */
  type: "netns";
  /** The network namespace; the caller's own if absent. */
  netns?: Netns | undefined;
  /** What the program does. May be absent if the program was loaded here for it. */
  attachType?: "sk_lookup" | "flow_dissector" | undefined;
}

/** Info of a link to a network namespace. */
export interface NetnsInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "netns";
  /** The inode number of the namespace; 0 if detached. */
  netnsIno: number;
  /** What the program does. */
  attachType: AttachType;
}

const KEYS = keysOf<NetnsTarget>({ type: true, netns: true, attachType: true });

function prepare(program: Program, target: NetnsTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const attachType = attachTypeOf(
    target.attachType,
    program,
    "netns",
    '"sk_lookup" or "flow_dissector"',
  );
  const { fd, temporary } = openNetns(target.netns ?? OWN_NETNS, "target.netns");
  return { attachType, targetFd: fd, temporary };
}

function describe(target: NetnsTarget): string {
  return target.netns === undefined ? "this network namespace" : `network namespace ${target.netns}`;
}

/** What the namespace lacks room for depends on what the program does. */
function whyRefused(
  refusal: BpfError,
  _target: NetnsTarget,
  attachment: Attachment,
  program: Program,
): Explanation | undefined {
  if (refusal.code !== "E2BIG") return whyMisfit(refusal, attachment, program);
  const has = (attachment as LinkCreation).attachType === "sk_lookup"
    ? "its 64 sk_lookup programs"
    : "a flow dissector";
  return { reason: "limit", meaning: `the namespace has ${has} already`, hint: "detach one that is there first" };
}

const record = TYPES.netns.record!;

function read({ id, progId, netnsIno, attachType }: Extract<BpfLinkInfo, { type: "netns" }>): NetnsInfo {
  return { type: "netns", id, programId: progId, attached: netnsIno !== 0, netnsIno, attachType };
}

/** The kind of target that is a network namespace, and its links. */
export const netns: Kind<NetnsTarget, "netns", Program> & LinkKind<"netns", NetnsInfo> = {
  linkType: "netns",
  keys: KEYS,
  programs: ["sk_lookup", "flow_dissector"],
  prepare,
  describe,
  whyRefused,
  read,
  readRecord: (words, longs, at, filled, name) => read(record.read(words, longs, at, filled, name)),
  where: ({ netnsIno, attachType }, { netns = `net:[${netnsIno}]` }) => `${netns} ${attachType}`,
  isAt: (info, { attachType, targetFd }) => info.attachType === attachType && BigInt(info.netnsIno) === inode(targetFd),
  probe: () => ({
    examples: [{ program: { type: "sk_lookup", expectedAttachType: "sk_lookup" } }],
    attach: {
      since: "5.9",
      config: "CONFIG_NET_NS",
      proofs: [{ call: create(NO_TARGET, "sk_lookup"), errno: "EBADF" }],
    },
    update: always(TYPES.netns),
    detach: always(TYPES.netns),
  }),
  hook: {
    at: "netns",
    attachTypes: TYPES.netns.attachTypes,
    ask,
    look(target): Look {
      checkKeys(target, "target", ["type", "netns", "attachType"]);
      const attachType = checkOneOf(target.attachType, "target.attachType", TYPES.netns.attachTypes);
      return within(openNetns(target.netns ?? OWN_NETNS, "target.netns"), (fd) => {
        const ino = Number(inode(fd));
        return {
          ...ordered(progQuery(fd, attachType)),
          isLink: (info) => info.type === "netns" && info.netnsIno === ino && info.attachType === attachType,
        };
      });
    },
    words: "PATH sk_lookup|flow_dissector",
    fromWords: (netns, attachType) => ({ type: "netns", netns, attachType }),
  },
};
