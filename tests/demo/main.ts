/**
 * A link from its attachment to its end: `deno task demo`.
 *
 * A process in a cgroup of its own keeps connecting to a server of the demo. A link gives the cgroup a program that
 * drops its packets, then one that lets them pass, and ends with its scope. What the programs do is what that process
 * reports; what becomes of the link is what the kernel says. Exits with 1 if either is not as it should be.
 */
import { BpfError, Link, Program } from "@bpf/link";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { mountPoints } from "../fixture/run/own.ts";
import { until } from "../fixture/run/wait.ts";
import { Client } from "./client.ts";

const NEEDS = `The demo needs
- Linux 5.10 or newer on x86_64 or aarch64
- root, or CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN: sudo npx -y deno@2.9.6 task demo
- a cgroup2 file system that it may write to: mkdir /tmp/cgroup2 && mount -t cgroup2 none /tmp/cgroup2
- in a container all of this: docker run --privileged`;

try {
  await demo();
} catch (error) {
  explain(error);
}

async function demo(): Promise<void> {
  using drop = load("drop", 0);
  using pass = load("pass", 1);
  const signal = interruption();
  using cgroup = makeCgroup();
  using server = Deno.listen({ hostname: "127.0.0.1", port: 0 }); // nobody accepts: the kernel shakes hands alone
  await using client = new Client(cgroup.path, server.addr.port, signal);

  /** Prints what the client reports after a step. */
  async function show(step: string, expected: "connected" | "timed out"): Promise<void> {
    const outcomes = await client.next(3);
    console.log(step.padEnd(40), outcomes.join(", "));
    if (outcomes.some((outcome) => outcome !== expected)) throw new Error(`The client should report "${expected}"`);
  }

  console.log(`A process in ${cgroup.path} connects to port ${server.addr.port} of 127.0.0.1 and reports:\n`);
  await show("no link", "connected");

  const mishap = new Error("thrown on purpose");
  let id = 0;
  try {
    using link = Link.attach(drop, { type: "cgroup", cgroup: cgroup.path });
    id = link.id;
    await show(`Link.attach(drop, ...): link ${id}`, "timed out");
    link.update(pass, { expected: drop });
    await show("link.update(pass, { expected: drop })", "connected");
    link.update(drop, { expected: pass });
    await show("link.update(drop, { expected: pass })", "timed out");
    await list(link, signal);
    throw mishap;
  } catch (error) {
    if (error !== mishap) throw error;
  }
  await show("an error ended the link's scope", "connected");
  console.log(`\nLink.open(${id}): ${await refusal(id)}`);
}

/** A program that answers each packet that a cgroup sends with `verdict`: 0 drops it, 1 lets it pass. */
function load(name: string, verdict: 0 | 1): Program {
  return Program.load({
    type: "cgroup_skb",
    expectedAttachType: "cgroup_inet_egress",
    name,
    instructions: new Uint8Array([0xb7, 0, 0, 0, verdict, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), // r0 = verdict; exit
  });
}

/** Prints how many links the machine has, and what it says of ours. */
async function list(link: Link, signal: AbortSignal): Promise<void> {
  const infos = await Array.fromAsync(Link.infos({ signal }));
  const ours = infos.find(({ id }) => id === link.id);
  if (ours === undefined) throw new Error(`Link ${link.id} is missing among the links of the machine`);
  const types = Map.groupBy(infos, ({ type }) => type);
  const counts = Array.from(types, ([type, { length }]) => `${length} ${type}`).join(", ");
  console.log(`\nLink.infos(): ${counts}; among them\n${Deno.inspect(ours, { breakLength: Infinity })}\n`);
}

/** What the kernel says when a link is asked for that is gone. Somebody else may have it open for a moment. */
async function refusal(id: number): Promise<string> {
  let message = "";
  await until(() => {
    try {
      Link.open(id).close();
    } catch (error) {
      if (!(error instanceof BpfError && error.reason === "gone")) throw error;
      message = error.message;
    }
    return message !== "";
  }, `link ${id} is gone`);
  return message;
}

function makeCgroup(): Cgroup {
  const [mount] = mountPoints("cgroup2");
  if (mount === undefined) throw new Deno.errors.NotSupported("No cgroup2 file system is mounted");
  try {
    return new Cgroup(mount);
  } catch (cause) {
    throw new Deno.errors.NotSupported(`Cannot make a cgroup: ${(cause as Error).message}`, { cause });
  }
}

/** Is aborted by Ctrl-C and by a request to end, so that scopes end as after any error. `Deno.exit` would skip them. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const [name, status] of [["SIGHUP", 129], ["SIGINT", 130], ["SIGTERM", 143]] as const) {
    Deno.addSignalListener(name, () => {
      Deno.exitCode = status;
      controller.abort(new Deno.errors.Interrupted(name));
    });
  }
  return controller.signal;
}

/** Says why there was no demo, or why it ended early. */
function explain(error: unknown): void {
  if (error instanceof Deno.errors.Interrupted) return console.error(`\nEnded by ${error.message}; nothing is left`);
  const isMissing = error instanceof Deno.errors.NotSupported ||
    error instanceof BpfError && error.reason === "capability";
  console.error(isMissing ? `${error.message}\n${NEEDS}` : error);
  Deno.exitCode = isMissing ? 77 : 1; // 77: nothing failed, it could not be tried
}
