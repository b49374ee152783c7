/** What `--json` prints. */
import type { Holder } from "./holder.ts";
import type { Source } from "../links.ts";
import type { PublishedEvent } from "../otel/mod.ts";
import type { TargetProbe } from "../probe.ts";

/** A link: the fields of its `LinkInfo`, those of 64 bits as strings, and what is known besides. */
export interface LinkRecord {
  /** The id. */
  id: number;
  /** The type of the link, one of `LINK_TYPES`; it says which other fields its info has. */
  type: string;
  /** The id of the program; absent for struct_ops. */
  programId?: number;
  /** Whether it is attached; absent where the kernel cannot tell. */
  attached?: boolean;
  /** The name of the program; absent if it has none, or without CAP_SYS_ADMIN. */
  programName?: string;
  /** The name of the interface; absent unless it is surely in the own network namespace. */
  deviceName?: string;
  /** The directory of the cgroup; absent if it cannot be seen. */
  cgroupPath?: string;
  /** How often the program has run while the kernel counted; absent if never. */
  runCount?: string;
  /** How long that took, in nanoseconds. */
  runTimeNs?: string;
  /** Its place among the programs of its hook, from 1; in `top` only, if there are several and the kernel reports it. */
  order?: number;
  /** How often the program ran each second; in `top` only, while the kernel counts. */
  runsPerSecond?: number;
  /** The part of one processor's time that it took: 1 is all of it. */
  load?: number;
  /** Who holds the link; absent in `watch`. */
  holders?: readonly Holder[];
  /** Whether there may be more holders. */
  holdersPartial?: boolean;
  /** Where it was pinned by `load` or `run`. */
  pin?: string;
  /** The other fields of the info. */
  [field: string]: unknown;
}

/** A program of a hook. */
export interface EntryRecord {
  /** The id of the program; absent for struct_ops. */
  programId?: number;
  /** Its name. */
  programName?: string;
  /** The id of its link; absent if it was attached without one, or if that cannot be told. */
  linkId?: number;
  /** The kernel's flags of the attachment, where it reports them. */
  attachFlags?: number;
  /** The link, in `tree`. */
  link?: LinkRecord;
}

/** A place where programs are attached. */
export interface HookRecord {
  /** The type of the links there. */
  type: string;
  /** The place in words. */
  place: string;
  /** The attach type, where the place has one. */
  attachType?: string;
  /** The number of the interface. */
  ifindex?: number;
  /** Its name. */
  deviceName?: string;
  /** The number of the network namespace. */
  netnsIno?: number;
  /** The id of the cgroup. */
  cgroupId?: string;
  /** Its directory. */
  cgroupPath?: string;
  /** Counts the changes of the hook, where the kernel does. */
  revision?: string;
  /** Whether the kernel reported the order of the entries; else it is that of the ids, or of priorities. */
  ordered: boolean;
  /** What is attached there. */
  entries: readonly EntryRecord[];
  /** What runs there, in order: with the programs of a cgroup's ancestors. In `hook` only. */
  effective?: readonly EntryRecord[];
}

/** A pin of something else than a link. */
export interface PinRecord {
  /** The path. */
  path: string;
  /** What is pinned. */
  kind: "program" | "map";
  /** Its id. */
  id: number;
  /** Its name; may be empty. */
  name: string;
}

/** A program or a map of an object that was loaded. */
export interface LoadedRecord {
  /** Its name in the object; the kernel keeps 15 characters of it. */
  name: string;
  /** Its type. */
  type: string;
  /** Its id. */
  id: number;
  /** The section that a program is in. */
  section?: string;
  /** Where it is pinned. */
  pin?: string;
}

/**
 * What each line of `bpflink --json` is: an object with some of these fields.
 *
 * `list`, `show`, `top`, `detach`, `pin`, `unpin` and `update` print `links`, the last four as they are afterwards; `tree` prints
 * `hooks` and `pins`, `hook` prints `hooks` with one element, `probe` prints `targets`, `gen` prints `typescript`, `completions` prints `script`, `man` prints `page`. `watch` prints a line with `event`
 * for each change. `load` and `run` print `programs`, `maps` and `links`, and then `run` a line with `map` and `record`
 * for each record, or with `map` and `lost`. `agent` prints a line with `published` for each event. A failure prints `error`, to stderr.
 */
export interface Answer {
  /** When `top` looked for the second time, as `2026-11-30T12:00:00.000Z`. */
  time?: string;
  /** Links. */
  links?: LinkRecord[];
  /** Places and what is attached there. */
  hooks?: HookRecord[];
  /** Pins of programs and maps. */
  pins?: PinRecord[];
  /** What can be done with links to each kind of target. */
  targets?: Record<string, TargetProbe>;
  /** Programs that were loaded. */
  programs?: LoadedRecord[];
  /** Maps that were made. */
  maps?: LoadedRecord[];
  /** The name of a ring buffer or a perf buffer. */
  map?: string;
  /** How many records of it the kernel reported as lost until now. */
  lost?: number;
  /** A record of it. */
  record?: Record<string, unknown>;
  /** What a shell is to run. */
  script?: string;
  /** The manual page. */
  page?: string;
  /** A module of types. */
  typescript?: string;
  /** A change. */
  event?: {
    /** What happened. */
    kind: "present" | "added" | "removed" | "changed";
    /** When a look showed it, as `2026-11-30T12:00:00.000Z`: up to an interval after it happened. */
    time: string;
    /** The link; of a removed one what was last known. */
    link: LinkRecord;
    /** The link as it was before it changed. */
    before?: LinkRecord;
    /** What of it changed. */
    what?: readonly ("program" | "attached" | "target")[];
  };
  /** What `agent` published. */
  published?: PublishedEvent;
  /** Where the links come from. */
  source?: Source;
  /** Whether something may be missing; the exit status is 4 then. */
  partial?: boolean;
  /** Why there is no answer. */
  error?: {
    /** What failed, in words. */
    message: string;
    /** What to do about it. */
    hint?: string;
    /** The reason of a `BpfError`. */
    reason?: string;
    /** The kernel's code, as `EPERM`. */
    code?: string;
    /** The kernel's own text: the whole log of the verifier. */
    log?: string;
    /** The exit status. */
    status: number;
  };
}
