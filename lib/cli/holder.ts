/** Who holds a link, by the names that people know: units, containers, scripts. All of them are the holder's choice. */
import { printable } from "../check.ts";
import { type LinkHolder, processWords } from "../holders.ts";

/** A holder with what the machine calls it. */
export type Holder = LinkHolder & {
  /** The systemd unit of the process. */
  unit?: string;
  /** The id or name of its container. */
  container?: string;
  /** The script that its interpreter runs. */
  script?: string;
};

const known = new Map<string, Pick<Holder, "unit" | "container" | "script">>();

/** Looks up what a process is called. */
export function holderOf(holder: LinkHolder): Holder {
  if (holder.kind === "pin") return holder;
  const { pid, command } = holder, key = `${pid} ${command}`;
  let words = known.get(key);
  if (words === undefined) {
    const { args, cgroup } = processWords(pid), script = scriptOf(args);
    words = { ...placeOf(cgroup), ...script === undefined ? {} : { script } };
    if (known.size >= MOST_KEPT) known.clear(); // numbers are given again
    known.set(key, words);
  }
  return { ...holder, ...words };
}

const MOST_KEPT = 1000;

/** What a cgroup's path says: the container, else the unit that the process is in. */
export function placeOf(cgroup: string): { unit?: string; container?: string } {
  // /system.slice/docker-ID.scope, /docker/ID, /kubepods.slice/…/cri-containerd-ID.scope, /machine.slice/machine-NAME.scope
  const [, id] = /[/-]([0-9a-f]{64})(?:\.scope)?(?=\/|$)/.exec(cgroup) ?? [];
  const [, name] = /\/(?:machine-|lxc\.payload\.)([^/]+?)(?:\.scope)?(?=\/|$)/.exec(cgroup) ?? [];
  const container = id ?? name;
  if (container !== undefined) return { container };
  const unit = cgroup.split("/").findLast((each) => each.endsWith(".service"));
  return unit === undefined ? {} : { unit };
}

const INTERPRETER = /^(?:deno|node|bun|python[\d.]*|ruby|perl|lua|(?:ba|da|z|k)?sh)$/;
const SCRIPT = /^[^-].*\.(?:[cm]?[jt]sx?|py|rb|pl|lua|sh)$/;

/** The script that a command line of an interpreter names. */
export function scriptOf([program = "", ...args]: readonly string[]): string | undefined {
  const interpreter = nameOf(program);
  if (!INTERPRETER.test(interpreter)) return undefined;
  const given = args.find((arg) => SCRIPT.test(arg) || /^(?:jsr|npm):/.test(arg)) ?? firstWord(interpreter, args);
  return given === undefined ? undefined : nameOf(given);
}

/** Of interpreters without subcommands the first word that is no option, unless the script itself stands there. */
function firstWord(interpreter: string, args: readonly string[]): string | undefined {
  if (["deno", "bun"].includes(interpreter)) return undefined;
  const [first] = args;
  if (first === "-m") return args[1];
  return first === undefined || first.startsWith("-") ? undefined : first;
}

function nameOf(path: string): string {
  return /^(?:jsr|npm):/.test(path) ? path : path.slice(path.lastIndexOf("/") + 1);
}

/** A holder in a few words. */
export function holderText(holder: Holder): string {
  if (holder.kind === "pin") return printable(holder.path);
  const { pid, command, unit, container, script } = holder, what = script ?? command;
  const place = container?.slice(0, 12) ?? unit;
  // sshd.service(12), not sshd.service sshd(12)
  if (place === undefined || stemOf(place) === stemOf(what)) return printable(`${place ?? what}(${pid})`);
  return printable(`${place} ${what}(${pid})`);
}

/**
 * Who holds a link, as `bpflink` names them: `agent.service(1993)`, `tracer.service heap.py(2041)`, or the path of a pin.
 *
 * @param holder What `Link.holders()` or `Link.holdersOf()` of `@bpf/link` gives.
 * @returns The systemd unit or the container of a process, its script or program, and its number. All of them are the
 * holder's own choice; control characters are escaped.
 *
 * @example
 * ```ts
 * import { Link } from "@bpf/link";
 * import { holderName } from "@bpf/link/cli";
 *
 * const links = Link.list(), held = Link.holdersOf(links.map(({ id }) => id));
 * for (const { id } of links) console.log(id, held.get(id)!.holders.map(holderName));
 * ```
 */
export function holderName(holder: LinkHolder): string {
  return holderText(holderOf(holder));
}

function stemOf(name: string): string {
  return name.replace(/\.\w+$/, "");
}
