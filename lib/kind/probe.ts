/** What the probes of kinds have in common: calls that must fail, for they name nothing. */
import { BpfError } from "../error.ts";
import { lockedDown } from "../os/capabilities.ts";
import { close } from "../os/files.ts";
import type { Refusals } from "../refusal.ts";
import { linkCreate } from "../sys/link_create.ts";
import { openEventAnywhere, probeType } from "../sys/perf_event.ts";
import { type LinkCreateOptions, TYPES } from "../sys/type/mod.ts";
import type { AttachTypeName, ProgramTypeName } from "../uapi/constants.ts";
import { EPERM } from "../uapi/errno.ts";
import type { ProbeRule, Proof } from "./kind.ts";

/** Neither an fd nor an interface. */
export const NO_TARGET = -1;
export const NO_FILE = "/proc/self/bpf_link_probe";
export const NO_NAME = "bpf_link_probe";

/** A call of LINK_CREATE. */
export function create(
  target: number,
  attachType: AttachTypeName,
  options?: LinkCreateOptions,
): (program: number) => void {
  return (program) => close(linkCreate(program, target, attachType, options));
}

/** Opens a probe at a place that does not exist. */
export function openNothing(probe: "kprobe" | "uprobe", place: string, refusals: Refusals): void {
  const event = { type: probeType(probe).type, config: 0n, config1: place };
  close(openEventAnywhere(event, `Cannot open ${probe}`, refusals));
}

/** Proves nothing, but refutes where the kernel is locked down: it would look at that after a name that does not exist. */
export function unlessLockedDown(what: string): Proof {
  return {
    call: () => {
      const why = lockedDown(what);
      if (why !== undefined) throw new BpfError(EPERM, { action: "Cannot attach", command: "lockdown", ...why });
    },
  };
}

/** What proves that links to a kind of perf event can be made. */
export function eventProbe(type: ProgramTypeName, config: string, ...proofs: readonly Proof[]): ProbeRule {
  const { since } = TYPES.perf_event;
  return {
    examples: [{ program: { type } }],
    attach: { since, config, proofs: [{ call: create(NO_TARGET, "perf_event"), errno: "EBADF" }, ...proofs] },
    cookie: since,
  };
}
