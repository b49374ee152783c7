/** The one error that a kernel's refusal becomes. */
import { printable } from "./check.ts";
import { complaintOf } from "./complaint.ts";
import { ERRNO } from "./uapi/errno.ts";

/** Why a call failed, in terms a program can act on; see {@linkcode BpfError.reason}. */
export type Reason =
  | "mismatch"
  | "stale"
  | "policy"
  | "capability"
  | "gone"
  | "exists"
  | "busy"
  | "limit"
  | "unsupported"
  | "invalid"
  | "unsettled"
  | "other";

/** What an errno means at one place: the reason, a clause for the message, and what to do about it. */
export interface Explanation {
  /** The reason, for programs. */
  readonly reason: Reason;
  /** What happened, for the message. */
  readonly meaning: string;
  /** What to do about it. */
  readonly hint?: string | undefined;
}

/** What a {@linkcode BpfError} is made of. */
export interface BpfErrorInit extends Explanation {
  /** What could not be done, as the message begins: `Cannot detach link 7`. */
  readonly action: string;
  /** The command of bpf(2), without `BPF_`, or the name of another system call. */
  readonly command: string;
  /** What the kernel says in words. */
  readonly log?: string | undefined;
  /** The error that this one explains. */
  readonly cause?: unknown;
  /** The code of a number that is none of Linux's. */
  readonly code?: string | undefined;
  /** What the log complains of, in one line, or nothing; looked for in the log if absent. */
  readonly complaint?: string | undefined;
}

/**
 * A refusal of the kernel, explained.
 *
 * The message says what could not be done, what the errno means at this place, the line of the kernel's log that says
 * why, and the errno's code. `hint` says what to do about it. Programs decide by `reason` or `code`, never by the message.
 * Control and formatting characters of names in them are escaped, since a neighbour who names a pin, a cgroup or a process could
 * command a terminal with them.
 *
 * What Deno prints of an error that nobody catches is its message, its stack and its cause: so `cause` shows the hint and
 * the whole log, and what this error explains if there is something. `JSON.stringify` has all of it by field.
 *
 * @example Is the link gone?
 * ```ts
 * import { BpfError, Link } from "@bpf/link";
 *
 * try {
 *   using link = Link.open(1234);
 *   console.log(link.type);
 * } catch (error) {
 *   if (!(error instanceof BpfError && error.reason === "gone")) console.error(error);
 * }
 * ```
 */
export class BpfError extends Error {
  /** `BpfError`. */
  override readonly name = "BpfError";
  /** The error's code, as `EPERM`; libbpf's own are `LIBBPF_ERRNO__FORMAT` and the like; `errno 4095` for a number without a name. */
  readonly code: string;
  /** The error's number; 524, which only the kernel uses, is called `ENOTSUPP`. */
  readonly errno: number;
  /** The command of bpf(2) that failed (`LINK_UPDATE`), or the name of another system call (`openat`). */
  readonly command: string;
  /** What happened, as the message says it between the action and the code. */
  readonly meaning: string;
  /** What to do about it, where there is something to say. */
  declare readonly hint: string | undefined;
  /**
   * - `mismatch`: the object holds or is something else than expected
   * - `stale`: the hook changed since its revision was read
   * - `policy`: privileges suffice, but this kernel or a security module refuses
   * - `capability`: a capability is missing
   * - `gone`: the object, or what it was attached to, is no more
   * - `exists`: it is there already
   * - `busy`: somebody else holds the place
   * - `limit`: a limit of the kernel or of the process is reached
   * - `unsupported`: this kernel, type or driver cannot do it
   * - `invalid`: the kernel refuses the arguments
   * - `unsettled`: it cannot be said or done at this moment, as while the object is being made; ask again
   * - `other`: none of these
   */
  readonly reason: Reason;
  /** What the kernel says in words: the verifier of a program, since Linux 7.3 also who refuses a map. */
  declare readonly log?: string;

  /**
   * Called by the package when the kernel refuses a call.
   *
   * @param errno The error's number, positive.
   * @param init What could not be done, by which command, and what that means.
   */
  constructor(errno: number, init: BpfErrorInit) {
    const code = init.code ?? ERRNO[errno]?.[0] ?? `errno ${errno}`, { log, cause } = init;
    const hint = init.hint === undefined ? undefined : printable(init.hint);
    const complaint = "complaint" in init || !log ? init.complaint : complaintOf(log);
    const meaning = printable(complaint === undefined ? init.meaning : `${init.meaning}: ${complaint}`);
    const details = hint || log ? new Details(hint, log, cause) : cause;
    super(`${printable(init.action)}: ${meaning} (${code})`, details === undefined ? undefined : { cause: details });
    this.code = code;
    this.errno = errno;
    this.command = init.command;
    this.reason = init.reason;
    this.meaning = meaning;
    // the cause shows these
    Object.defineProperties(this, {
      name: { enumerable: false },
      hint: { value: hint },
      ...log ? { log: { value: log } } : {},
    });
  }

  /**
   * What `JSON.stringify` takes.
   *
   * @returns The fields of the error, with its message.
   */
  toJSON(): Record<string, unknown> {
    const { name, message, code, errno, command, reason, meaning, hint, log } = this;
    return { name, message, code, errno, command, reason, meaning, hint, log };
  }
}

/** What the message has no room for, as the cause of the error: shown wherever the error is. */
class Details {
  readonly hint: string | undefined;
  readonly log: string | undefined;
  readonly cause: unknown; // of the error, by itself

  constructor(hint: string | undefined, log: string | undefined, cause: unknown) {
    this.hint = hint;
    this.log = log;
    this.cause = cause;
  }

  toString(): string {
    const { hint, log, cause } = this;
    return [
      ...hint ? [`Hint: ${hint}`] : [],
      ...log ? ["Log of the kernel:", ...log.split("\n").map(printable)] : [],
      ...cause === undefined ? [] : [`Caused by: ${cause}`],
    ].join("\n");
  }

  [Symbol.for("Deno.customInspect")](): string {
    return this.toString();
  }
}
