/** Links to a raw tracepoint. */
import { checkKeys, checkString, checkU64, keysOf } from "../check.ts";
import { close } from "../os/files.ts";
import type { Program } from "../program.ts";
import { rawTracepointOpen } from "../sys/raw_tracepoint.ts";
import { type BpfLinkInfo, TYPES } from "../sys/type/mod.ts";
import type { Attachment, Kind, LinkInfoBase, LinkKind } from "./kind.ts";
import { NO_NAME } from "./probe.ts";

/**
 * The program runs at a tracepoint and sees the arguments as the kernel's code passes them.
 *
 * Since Linux 5.7 as a link; `cookie` 6.10. Such links can neither be updated nor detached by force: they end when the
 * last fd and pin are gone.
 *
 * @example
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * using program = Program.load({ type: "raw_tracepoint", instructions: nothing });
 * using link = Link.attach(program, { type: "raw_tracepoint", name: "sched_process_exec" });
 * console.log(link.info().name); // sched_process_exec
 * ```
 */
export interface RawTracepointTarget {
  /** The kind of target. */
  type: "raw_tracepoint";
  /** The tracepoint's name without its category, as `sched_switch`. */
  name: string;
  /** What the program reads with `bpf_get_attach_cookie`. */
  cookie?: bigint | undefined;
}

/** Info of a link to a raw tracepoint, and of one to a BTF-typed tracepoint (`tp_btf`). */
export interface RawTracepointInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "raw_tracepoint";
  /** The tracepoint's name. */
  name: string;
  /** The cookie; 0n if none was given. Since Linux 6.17. */
  cookie?: bigint;
}

const KEYS = keysOf<RawTracepointTarget>({ type: true, name: true, cookie: true });

function prepare(_program: Program, target: RawTracepointTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const { name, cookie } = target;
  if (cookie !== undefined) checkU64(cookie, "target.cookie");
  checkString(name, "target.name");
  const [, plain] = /^\w+[:/](\w+)$/.exec(name) ?? [];
  if (plain !== undefined) {
    throw new TypeError(`target.name must be without the category, so "${plain}", not "${name}"`);
  }
  return { rawTracepoint: name, cookie };
}

function describe(target: RawTracepointTarget): string {
  return `raw tracepoint "${target.name}"`;
}

const record = TYPES.raw_tracepoint.record!;

function read(
  { id, progId, tpName, cookie }: Extract<BpfLinkInfo, { type: "raw_tracepoint" }>,
): RawTracepointInfo {
  const info: RawTracepointInfo = { type: "raw_tracepoint", id, programId: progId, name: tpName };
  if (cookie !== undefined) info.cookie = cookie;
  return info;
}

/** The kind of target that is a raw tracepoint, and its links. */
export const raw_tracepoint:
  & Kind<RawTracepointTarget, "raw_tracepoint", Program>
  & LinkKind<"raw_tracepoint", RawTracepointInfo> = {
    linkType: "raw_tracepoint",
    keys: KEYS,
    programs: ["raw_tracepoint", "raw_tracepoint_writable"],
    prepare,
    describe,
    read,
    readRecord: (words, longs, at, filled, name) => read(record.read(words, longs, at, filled, name)),
    where: ({ name }) => name,
    probe: () => ({
      examples: [{ program: { type: "raw_tracepoint" } }],
      attach: {
        since: TYPES.raw_tracepoint.since,
        config: "CONFIG_BPF_EVENTS",
        proofs: [{ call: (program) => close(rawTracepointOpen(NO_NAME, program)), errno: "ENOENT" }],
      },
      cookie: "6.10",
    }),
  };
