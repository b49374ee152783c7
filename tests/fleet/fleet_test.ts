/**
 * The files for a fleet, each read by a real parser, and compared with what the agent takes and publishes. That a
 * Prometheus shows two machines is a task of its own: `deno task fleet`, in proof.ts.
 */
import { assert, assertEquals } from "@std/assert";
import { parser as promql } from "npm:@prometheus-io/lezer-promql@0.315.0";
import { parse as parseIni } from "npm:ini@7.0.0";
import { parse as parseYaml, parseAllDocuments } from "npm:yaml@2.9.1";
import { agent } from "../../lib/cli/agent.ts";
import { parseArguments } from "../../lib/cli/arguments.ts";
import { checkExpected } from "../../lib/otel/expected.ts";

const text = (name: string) => Deno.readTextFileSync(new URL(name, import.meta.url));
const CAPABILITIES = ["BPF", "PERFMON"];

Deno.test("the unit: what systemd says of it", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const unit = `${folder}/bpflink-agent.service`;
    // systemd looks for the program, which is not installed here
    Deno.writeTextFileSync(unit, text("bpflink-agent.service").replace("/usr/local/bin/bpflink", Deno.execPath()));
    const ran = systemdAnalyze(["verify", "--man=no", unit]);
    if (ran === undefined) return; // what it holds is read below
    assertEquals(ran.errors.split("\n").filter((line) => line.includes("bpflink-agent")), []);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("the unit: telemetry is on, two capabilities and no other, and a command that the agent takes", () => {
  const unit = text("bpflink-agent.service").replaceAll(/^(Environment)=(\w+=)/gm, "$1[]=$2");
  const { Service } = parseIni(unit) as { Service: Record<string, string> & { Environment: string[] } };
  assert(Service.Environment.includes("OTEL_DENO=true"));
  const wanted = CAPABILITIES.map((name) => `CAP_${name}`).join(" ");
  assertEquals([Service.AmbientCapabilities, Service.CapabilityBoundingSet], [wanted, wanted]);
  assertEquals([Service.DynamicUser, Service.NoNewPrivileges], ["yes", "yes"]);
  const [program, command, ...args] = Service.ExecStart!.split(" ");
  assertEquals([program, command], ["/usr/local/bin/bpflink", "agent"]);
  parseArguments(args, agent.options);
});

// deno-lint-ignore no-explicit-any -- as Kubernetes has it
const documents = parseAllDocuments(text("daemonset.yaml")).map((document) => document.toJS() as any);

Deno.test("the DaemonSet: parsed without a complaint, and its list is one", () => {
  assertEquals(
    parseAllDocuments(text("daemonset.yaml")).flatMap(({ errors, warnings }) => [...errors, ...warnings]),
    [],
  );
  assertEquals(documents.map(({ kind }) => kind), ["ConfigMap", "DaemonSet"]);
  checkExpected(JSON.parse(documents[0].data["links.json"]), "links.json");
});

Deno.test("the DaemonSet: the least that it takes, and a command that the agent takes", () => {
  const { metadata, spec } = documents[1].spec.template;
  assertEquals(documents[1].spec.selector.matchLabels, metadata.labels);
  const [{ args, env, image, securityContext, volumeMounts }] = spec.containers;
  assertEquals(securityContext.capabilities, { drop: ["ALL"], add: CAPABILITIES });
  assertEquals([securityContext.privileged, spec.hostPID], [undefined, undefined]);
  assertEquals([securityContext.allowPrivilegeEscalation, securityContext.readOnlyRootFilesystem], [false, true]);
  const volumes = spec.volumes.map(({ name }: { name: string }) => name);
  assertEquals(volumeMounts.map(({ name }: { name: string }) => name), volumes);
  const { version, name } = JSON.parse(text("../../deno.json"));
  const at = args.indexOf("agent");
  assertEquals(args[at - 1], `jsr:${name}@${version}/cli`);
  parseArguments(args.slice(at + 1), agent.options);
  const variables = Object.fromEntries(env.map((it: { name: string; value: string }) => [it.name, it.value]));
  assertEquals(variables.OTEL_DENO, "true");
  assert(text("../../.ci/run").includes(`deno=${image.split(":")[1]}\n`), "the Deno that is tested");
});

Deno.test("the alerts: two rules, whose expressions are PromQL of what is published", () => {
  const { groups: [{ rules }] } = parseYaml(text("alerts.yaml"));
  assertEquals(rules.map(({ alert }: { alert: string }) => alert), ["BpfLinkMissing", "BpfLinkUnexpected"]);
  for (const { expr } of rules) checkPromql(expr);
});

Deno.test("the dashboard: panels that do not overlap, whose expressions are PromQL of what is published", () => {
  const { panels, templating } = JSON.parse(text("dashboard.json"));
  assertEquals(new Set(panels.map(({ id }: { id: number }) => id)).size, panels.length);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }: { gridPos: Record<"x" | "y" | "w" | "h", number> }) =>
    Array.from({ length: w * h }, (_, i) => `${x + i % w} ${y + Math.floor(i / w)}`)
  );
  assertEquals(new Set(cells).size, cells.length);
  const used = panels.flatMap(({ targets }: { targets: { expr: string }[] }) =>
    targets.flatMap(({ expr }) => checkPromql(expr.replaceAll("$__rate_interval", "5m")))
  );
  assertEquals(new Set(used), published, "each metric has a place");
  const names = templating.list.map(({ name }: { name: string }) => name);
  const variables = text("dashboard.json").matchAll(/\$\{?([a-z]\w*)/g);
  assertEquals(new Set(Array.from(variables, ([, name]) => name)), new Set(names));
});

Deno.test("the metrics: those of the table in the comment of the module", () => {
  const table = text("../../lib/otel/mod.ts").matchAll(/^ \* \| `(bpf\.[\w.]+)` +\|/gm);
  assertEquals(new Set(Array.from(table, ([, name]) => name!)), new Set(sources.map(({ name }) => name)));
});

/** The metrics as the sources name them. */
const sources = Array.from(
  text("../../lib/otel/telemetry.ts").matchAll(/(tally|counter)\("(bpf\.[\w.]+)", "(\{?\w+\}?)/g),
  ([, kind, name, unit]) => ({ kind, name: name!, unit: unit! }),
);
/** The same in the terms of Prometheus: it appends the unit, unless that is in braces, and `_total` to counters. */
const published = new Set(
  sources.map(({ kind, name, unit }) =>
    name.replaceAll(".", "_") + (kind === "counter" ? `${unit === "s" ? "_seconds" : ""}_total` : "")
  ),
);

/** The metrics of an expression, which must be one, and of what there is. */
function checkPromql(expression: string): string[] {
  const metrics: string[] = [];
  promql.parse(expression).iterate({
    enter({ type, from, to, node }): void {
      assert(!type.isError, `no PromQL at ${from}: ${expression}`);
      if (type.name === "Identifier" && node.parent?.name === "VectorSelector") {
        metrics.push(expression.slice(from, to));
      }
    },
  });
  assert(metrics.length > 0, expression);
  for (const metric of metrics) assert(published.has(metric), `${metric} is not published: ${[...published]}`);
  return metrics;
}

function systemdAnalyze(args: readonly string[]): { errors: string } | undefined {
  try {
    const { stderr } = new Deno.Command("systemd-analyze", { args: [...args] }).outputSync();
    return { errors: new TextDecoder().decode(stderr) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
