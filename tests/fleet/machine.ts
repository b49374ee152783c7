/**
 * What runs in a machine of the proof: the agent, with the environment of its unit, and links that come and go. It asks
 * the proof what to do next, and tells with the next question what came of it.
 */
import { Link } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { commandLine } from "../fixture/process/bpflink.ts";
import { withOnly } from "../fixture/process/privileges.ts";
import { Running } from "../fixture/process/running.ts";
import { answering, CALLED } from "../fixture/program/programs.ts";
import { missRuns } from "../fixture/run/runs.ts";

/** What the proof may ask for. */
export type Instruction =
  | "publish"
  | "publish all"
  | "terminate"
  | `${"attach" | "detach"} ${"guard" | "stranger"}`
  | "run guard"
  | "miss stranger";
/** What came of an instruction, or of none. */
export type Outcome = { readonly value?: unknown } | { readonly error: string };

const LIST = "/tmp/links.json", EGRESS = "cgroup_inet_egress";
const COUNTING = "/proc/sys/kernel/bpf_stats_enabled";

const [name = "", proof = "", endpoint = "", intervalMs = ""] = Deno.args;
let agent: Running | undefined;
let guard: Link | undefined, stranger: Link | undefined;
using cgroup = new Cgroup();

const instructions: Record<Instruction, () => unknown> = {
  /** With the two capabilities of the unit. */
  publish: () => publish(["bpf", "perfmon"]),
  /** What else takes CAP_SYS_ADMIN: runs and missed runs. */
  "publish all": () => {
    Deno.writeTextFileSync(COUNTING, "1");
    return publish(["bpf", "perfmon", "sys_admin"]);
  },
  terminate: async () => `status ${await agent!.terminated()}`,
  "attach guard": () => {
    using program = answering(1, { type: "cgroup_skb", expectedAttachType: EGRESS, name: "guard" });
    guard = Link.attach(program, { type: "cgroup", cgroup: cgroup.path, attachType: EGRESS });
  },
  "detach guard": () => guard!.close(),
  "attach stranger": () => {
    using program = answering(0, { type: "kprobe", name: "stranger" });
    stranger = Link.attach(program, { type: "kprobe", symbol: CALLED });
  },
  "detach stranger": () => stranger!.close(),
  /** What a process in the cgroup sends comes by. */
  "run guard": async () => {
    const talk = 'echo 0 >"$0/cgroup.procs"; wget -q -O - http://127.0.0.1:9';
    await new Deno.Command("sh", { args: ["-c", talk, cgroup.path], stderr: "null" }).output();
  },
  /** Another program runs, and the stranger's is left out. */
  "miss stranger": () => missRuns(10),
};

async function publish(capabilities: string[]): Promise<string> {
  const env = {
    ...unitEnvironment(),
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_METRIC_EXPORT_INTERVAL: intervalMs,
  };
  agent = new Running(commandLine(["agent", "--expected", LIST], withOnly(...capabilities)), { env });
  await agent.says(/publishing/);
  return agent.errors;
}

function unitEnvironment(): Record<string, string> {
  const unit = Deno.readTextFileSync(new URL("bpflink-agent.service", import.meta.url));
  const settings = unit.matchAll(/^Environment=(\w+)=(.*)$/gm);
  return Object.fromEntries(Array.from(settings, ([, key, value]) => [key!, value!.replaceAll("%H", name)]));
}

Deno.writeTextFileSync(LIST, '[{ "type": "cgroup", "program": "guard" }]');
for (let outcome: Outcome = {};;) {
  const response = await fetch(`${proof}/${name}`, { method: "POST", body: JSON.stringify(outcome) });
  const instruction = await response.json() as Instruction | "end";
  if (instruction === "end") break;
  try {
    outcome = { value: await instructions[instruction]() };
  } catch (error) {
    outcome = { error: String(error) };
  }
}
Deno.exit(); // its links end with it
