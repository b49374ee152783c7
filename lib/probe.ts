/** What this kernel and this process can do with links, found out without touching anything that exists. */
import { BpfError } from "./error.ts";
import { btfFind } from "./ffi/btf.ts";
import type { Ability, Example, ProbeRule, Proof } from "./kind/kind.ts";
import { KINDS, type TargetType } from "./kind/mod.ts";
import { isOlderThan } from "./os/capabilities.ts";
import { Program, type ProgramLoadOptions } from "./program.ts";
import { isNoAnswer } from "./refusal.ts";
import { COOKIE_READER, NOTHING } from "./sys/program.ts";

/** Whether something can be done. */
export interface ProbeAnswer {
  /** `unknown` where nothing but doing it would tell. */
  answer: "yes" | "no" | "unknown";
  /** Why not, or why it is unknown. */
  reason?: string;
}

/** What can be done with links to one kind of target; see {@linkcode probe}. */
export interface TargetProbe {
  /** Making one: `Link.attach`. */
  attach: ProbeAnswer;
  /** Putting another program into one: `Link.update`. */
  update: ProbeAnswer;
  /** Ending one by force: `Link.detach`. */
  detach: ProbeAnswer;
  /** Giving the program a cookie that it can read. */
  cookie: ProbeAnswer;
  /** Choosing the place among others: `position`. */
  position: ProbeAnswer;
}

const YES: ProbeAnswer = { answer: "yes" };

/**
 * What this process can do with links on this kernel, for each kind of target.
 *
 * It looks, and touches nothing: programs that do nothing are loaded and closed again, and calls are made that must fail
 * because their target does not exist. So the answers do not depend on what is attached, and a "yes" does not promise
 * success at a given place: a driver may have no XDP, a hook may be taken, an address may not be probed. For `tracing`
 * the question is about `trace_fentry` and `trace_fexit`; programs of type ext and lsm may be refused all the same. The
 * update of a `struct_ops` link also needs operations that can be updated.
 *
 * Takes some milliseconds, so ask once. It never throws for lack of privileges: then the answer is "no", with the
 * capability that is missing as reason. What could not be asked, for lack of memory or files, is "unknown". What cannot be attached cannot be updated either, and so on, for the same reason.
 *
 * @returns For each kind of target an answer to each question, with the reason for each "no" and "unknown".
 * @throws {Error} If the native library cannot be loaded.
 *
 * @example Choose by what there is
 * ```ts
 * import { probe } from "@bpf/link";
 *
 * const { tcx, netkit } = probe();
 * if (tcx.attach.answer !== "yes") console.log(`no tcx: ${tcx.attach.reason}`);
 * if (netkit.attach.answer === "yes") console.log("there are netkit links");
 * ```
 */
export function probe(): Record<TargetType, TargetProbe> {
  const types = Object.keys(KINDS) as TargetType[];
  return Object.fromEntries(types.map((type) => [type, ask(type, KINDS[type].probe())])) as Record<
    TargetType,
    TargetProbe
  >;
}

/** Asks about a kind of target. */
export function ask(type: string, rule: ProbeRule, load: Load = Program.load): TargetProbe {
  const loaded = loadFirst(rule.examples, NOTHING, load);
  if (loaded instanceof BpfError) return refused(whyNot(loaded, rule.attach));
  using program = loaded.program;
  const attach = answer(rule.attach, [...rule.attach.proofs, ...loaded.example.proofs ?? []], program.fd);
  if (attach.answer !== "yes") return refused(attach);
  const also = (ability: Ability | undefined, what: string): ProbeAnswer =>
    ability === undefined
      ? no(`links of ${type} targets have no ${what}, on any kernel`)
      : answer(ability, ability.proofs, program.fd);
  return {
    attach,
    update: also(rule.update, "update"),
    detach: also(rule.detach, "detachment by force"),
    cookie: rule.cookie === undefined ? also(undefined, "cookie") : readsCookie(rule, rule.cookie, load),
    position: also(rule.position, "position"),
  };
}

type Load = (options: ProgramLoadOptions) => Program;

/** What cannot be attached can do nothing else either. */
function refused(attach: ProbeAnswer): TargetProbe {
  return { attach, update: attach, detach: attach, cookie: attach, position: attach };
}

/** The first example that loads; if none does, why the first was refused, or that one could not be asked. */
function loadFirst(
  examples: readonly Example[],
  instructions: Uint8Array,
  load: Load,
): { example: Example; program: Program } | BpfError {
  let first: BpfError | undefined;
  for (const example of examples) {
    try {
      return { example, program: load({ ...example.program, instructions }) };
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      if (isNoAnswer(error)) return error;
      first ??= error;
    }
  }
  return first!;
}

function answer(ability: Ability, proofs: readonly Proof[], programFd: number): ProbeAnswer {
  for (const proof of proofs) {
    try {
      if ("call" in proof) proof.call(programFd);
      else if (btfFind("function", proof.kernelFunction) === undefined) return lacks(ability);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      if ("kernelFunction" in proof || error.code !== proof.errno) return whyNot(error, ability);
    }
  }
  return YES;
}

function readsCookie(rule: ProbeRule, since: string, load: Load): ProbeAnswer {
  const loaded = loadFirst(rule.examples, COOKIE_READER, load);
  if (loaded instanceof BpfError) return whyNot(loaded, { since, proofs: [] });
  loaded.program.close();
  return YES;
}

function whyNot(error: BpfError, ability: Ability): ProbeAnswer {
  if (isNoAnswer(error) || error.reason === "other") return { answer: "unknown", reason: error.message };
  if (error.reason === "capability" || error.reason === "policy") return no(error.message);
  return lacks(ability, error.message); // whatever else a kernel says, it does not know the thing
}

/** A version that the kernel has is no reason. */
function lacks({ since, config }: Ability, refusal?: string): ProbeAnswer {
  const needs = [...isOlderThan(since) ? [`Linux ${since}`] : [], ...config === undefined ? [] : [config]];
  return no(
    needs.length === 0 ? refusal ?? "this kernel lacks it" : `not on this kernel: it takes ${needs.join(" and ")}`,
  );
}

function no(reason: string): ProbeAnswer {
  return { answer: "no", reason };
}
