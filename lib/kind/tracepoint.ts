/** Links to a tracepoint. */
import { checkKeys, checkString, checkU64, keysOf, printable } from "../check.ts";
import { BpfError, type Explanation } from "../error.ts";
import { close } from "../os/files.ts";
import { readTracefs } from "../os/tracefs.ts";
import type { Program } from "../program.ts";
import { openEventAnywhere } from "../sys/perf_event.ts";
import type { BpfLinkInfo } from "../sys/type/mod.ts";
import { ENOENT } from "../uapi/errno.ts";
import { PERF_TYPES } from "../uapi/linux.ts";
import type { Attachment, Kind, LinkInfoBase } from "./kind.ts";
import { eventProbe, NO_NAME, unlessLockedDown } from "./probe.ts";
import { toEvent } from "./target.ts";

/**
 * A program of type tracepoint runs at a tracepoint, on every CPU and for every process, and sees its record as the
 * `format` file of tracefs describes it.
 *
 * Since Linux 5.15. Such links can neither be updated nor detached by force: they end when the last fd and pin are
 * gone. A tracepoint takes 64 programs, each once.
 *
 * Takes CAP_PERFMON, and what lets it read tracefs, where the tracepoint's number is: as most systems mount it that is
 * for root alone, so CAP_DAC_READ_SEARCH; where it is not mounted, CAP_SYS_ADMIN, for it is mounted for the moment, for
 * nobody to see. `raw_tracepoint` and `tp_btf` targets are the same tracepoints and need no tracefs.
 *
 * @example
 * ```ts
 * import { Link, Program } from "@bpf/link";
 *
 * const nothing = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]); // return 0
 * using program = Program.load({ type: "tracepoint", instructions: nothing });
 * using link = Link.attach(program, { type: "tracepoint", category: "sched", name: "sched_process_exec" });
 * console.log(link.info().event); // tracepoint
 * ```
 */
export interface TracepointTarget {
  /** The kind of target. */
  type: "tracepoint";
  /** The tracepoint's category, as `sched`: a directory of `events` in tracefs. */
  category: string;
  /** Its name, as `sched_switch`. */
  name: string;
  /** What the program reads with `bpf_get_attach_cookie`. */
  cookie?: bigint | undefined;
}

/** Info of a link to a tracepoint. Since Linux 6.6. */
export interface TracepointInfo extends LinkInfoBase {
  /** The type of the link. */
  type: "perf_event";
  /** What kind of event it is. */
  event: "tracepoint";
  /** The tracepoint's name, without its category. */
  name: string;
  /** The cookie; 0n if none was given. Since Linux 6.9. */
  cookie?: bigint;
}

const WITHOUT_TRACEFS = "use a raw_tracepoint or tp_btf target, which needs no tracefs";

const KEYS = keysOf<TracepointTarget>({ type: true, category: true, name: true, cookie: true });

function prepare(_program: Program, target: TracepointTarget): Attachment {
  checkKeys(target, "target", KEYS);
  const category = checkName(target.category, "target.category"), name = checkName(target.name, "target.name");
  if (target.cookie !== undefined) checkU64(target.cookie, "target.cookie");
  const action = `Cannot attach to ${describe(target)}`;
  const id = readTracefs(`events/${category}/${name}/id`, WITHOUT_TRACEFS);
  if (id === undefined) {
    throw new BpfError(ENOENT, {
      action,
      command: "tracefs",
      reason: "invalid",
      meaning: "the kernel has no such tracepoint",
      hint: "available_events in tracefs lists them; that of a module is there while the module is loaded",
    });
  }
  return toEvent(openEventAnywhere({ type: PERF_TYPES.tracepoint, config: BigInt(id) }, action), target.cookie);
}

/** The name of a directory, such as `xhci-hcd`. */
function checkName(value: unknown, name: string): string {
  const text = checkString(value, name);
  if (!/^[\w-]+$/.test(text)) {
    throw new TypeError(`${name} must be letters, digits, "_" and "-", not "${printable(text)}"`);
  }
  return text;
}

function describe(target: TracepointTarget): string {
  return `tracepoint ${target.category}/${target.name}`;
}

/** The event is new, but the tracepoint behind it has one list of programs. */
function whyRefused({ code }: BpfError): Explanation | undefined {
  if (code !== "EEXIST") return undefined;
  return {
    reason: "exists",
    meaning: "this program is attached to the tracepoint already, and the kernel takes each once",
    hint: "keep the link that is there, or load the program a second time: another one is welcome",
  };
}

function read(
  { id, progId, tpName, cookie }: Extract<BpfLinkInfo, { type: "perf_event"; perfType: "tracepoint" }>,
): TracepointInfo {
  const info: TracepointInfo = { type: "perf_event", id, programId: progId, event: "tracepoint", name: tpName };
  if (cookie !== undefined) info.cookie = cookie;
  return info;
}

/** The kind of target that is a tracepoint. The kernel makes a perf event of it. */
export const tracepoint: Kind<TracepointTarget, "perf_event", Program> & {
  read(info: Extract<BpfLinkInfo, { type: "perf_event"; perfType: "tracepoint" }>): TracepointInfo;
} = {
  linkType: "perf_event",
  keys: KEYS,
  programs: ["tracepoint"],
  prepare,
  describe,
  whyRefused,
  read,
  probe: () =>
    eventProbe(
      "tracepoint",
      "CONFIG_BPF_EVENTS",
      unlessLockedDown("to read tracefs"),
      { call: () => readTracefs(`events/${NO_NAME}/id`, WITHOUT_TRACEFS) },
      {
        call: () => close(openEventAnywhere({ type: PERF_TYPES.tracepoint, config: 0n }, "Cannot open tracepoint")),
        errno: "EINVAL",
      },
    ),
};
