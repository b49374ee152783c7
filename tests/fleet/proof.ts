/**
 * Proves that a fleet is seen: `deno task fleet [KERNEL KERNEL]`. Two virtual machines, for a kernel has one list of
 * links, publish theirs to a real Prometheus with the alerts of this folder. They reach it through the network card that
 * QEMU emulates. Takes Go and some minutes; the first time a quarter of an hour more, for Prometheus is built.
 *
 * Ends with a table: what happened on which machine, and how many seconds later Prometheus knew.
 */
import { Fleet, type Machine } from "./fleet.ts";
import { EVALUATION_SECONDS, Prometheus, type Sample } from "./prometheus.ts";

Deno.chdir(new URL("../..", import.meta.url));

const EXPORT_SECONDS = 5;
/** The bound that is to be proved. */
const SEEN_WITHIN = 2 * EXPORT_SECONDS;
/** `for` in alerts.yaml. */
const PENDING_SECONDS = 60;
const FIRES_WITHIN = SEEN_WITHIN + PENDING_SECONDS + 2 * EVALUATION_SECONDS;
const WINDOW_SECONDS = 60;

const rows: { machine: string; what: string; isGood: boolean; says: string }[] = [];

const [older = "6.12", newer = "7.3"] = Deno.args;
await using prometheus = await Prometheus.start();
await using fleet = new Fleet();
const start = performance.now();
const web1 = fleet.start("web1", older, prometheus.port, EXPORT_SECONDS * 1000);
const web2 = fleet.start("web2", newer, prometheus.port, EXPORT_SECONDS * 1000);
await prove();
console.log(`\n${((performance.now() - start) / 1000).toFixed(0)} s, exports every ${EXPORT_SECONDS} s`);
print();
const failed = rows.filter(({ isGood }) => !isGood).length;
console.log(`${rows.length - failed} passed, ${failed} failed, 0 skipped`);
if (failed > 0) Deno.exitCode = 1;

async function prove(): Promise<void> {
  const links = 'bpf_links{bpf_program_name="guard"}', noGuard = "bpf_links_missing";
  const strangers = 'bpf_links_unexpected{bpf_program_name="stranger"}';
  await Promise.all([web1, web2].map((machine) => machine.does("publish")));
  for (const machine of [web1, web2]) await sees(machine, "begins without an expected link", noGuard, 1);

  await web1.does("attach guard");
  await sees(web1, "its expected link is attached", links, 1);
  await sees(web1, "it is missing no more", noGuard, 0);
  equals(web2, "that link is not on the other", instances(await prometheus.query(links)), "web1");
  await web2.does("attach guard");
  await sees(web2, "its expected link is attached", links, 1);
  await web2.does("attach stranger");
  await sees(web2, "an unexpected link is attached", strangers, 1);
  const unexpected = performance.now();
  equals(web1, "that link is not on the other", instances(await prometheus.query(strangers)), "web2");
  await web1.does("detach guard");
  await sees(web1, "its expected link ends", links, 0);
  await sees(web1, "it is missing", noGuard, 1);
  const missing = performance.now();

  await fires(web2, "BpfLinkUnexpected", unexpected);
  await fires(web1, "BpfLinkMissing", missing);
  equals(
    undefined,
    "alerts that fire",
    (await prometheus.firing()).join(),
    "BpfLinkMissing web1,BpfLinkUnexpected web2",
  );

  await web2.does("detach stranger");
  await sees(web2, "its unexpected link ends", strangers, 0);
  const counts = '{__name__=~"bpf_program_runs_total|bpf_link_missed_total"}';
  equals(undefined, "runs without CAP_SYS_ADMIN", instances(await prometheus.query(counts)), "none");
  equals(web2, "SIGTERM ends its agent", await web2.does("terminate"), "status 0");
  await web2.does("attach stranger"); // only now, for this agent sees its place: that makes another series
  await web2.does("publish all");
  for (const times of [1, 2]) {
    await web2.does("run guard");
    await web2.does("miss stranger");
    await sees(web2, `${10 * times} missed runs`, 'bpf_link_missed_total{bpf_program_name="stranger"}', 10 * times);
  }
  await dashboard();

  await web2.does("detach stranger");
  await web1.does("attach guard");
  equals(web1, "SIGTERM right after it attached its link", await web1.does("terminate"), "status 0");
  await sees(web1, "that link is exported all the same", links, 1);
  const mended = performance.now();
  await fleet.waitFor(async () => (await prometheus.firing()).length === 0);
  finished(undefined, "no alert fires any more", mended, SEEN_WITHIN + 2 * EVALUATION_SECONDS);
}

/** That Prometheus has a value of a machine, and how long that takes from now. */
async function sees(machine: Machine, what: string, series: string, value: number): Promise<void> {
  const start = performance.now();
  const of = async () => (await prometheus.query(series)).filter(({ labels }) => labels.instance === machine.name);
  await fleet.waitFor(async () => sum(await of()) === value);
  finished(machine, what, start, SEEN_WITHIN);
}

async function fires(machine: Machine, alert: string, start: number): Promise<void> {
  await fleet.waitFor(async () => (await prometheus.firing()).includes(`${alert} ${machine.name}`));
  finished(machine, `${alert} fires`, start, FIRES_WITHIN);
}

/** That what the dashboard asks has an answer. */
async function dashboard(): Promise<void> {
  const { panels } = JSON.parse(Deno.readTextFileSync(new URL("dashboard.json", import.meta.url))) as {
    panels: { title: string; targets: { expr: string; instant?: boolean }[] }[];
  };
  equals(undefined, "dashboard: machines", (await prometheus.labelValues("bpf_links", "instance")).join(), "web1,web2");
  for (const { title, targets } of panels) {
    for (const { expr, instant } of targets) {
      const asked = expr.replaceAll("$instance", ".*").replaceAll("$__rate_interval", `${WINDOW_SECONDS}s`);
      const count = instant ? (await prometheus.query(asked)).length : await prometheus.seriesOf(asked, WINDOW_SECONDS);
      add(undefined, `dashboard: ${title}`, count > 0, `${count} series`);
    }
  }
}

function finished(machine: Machine | undefined, what: string, start: number, bound: number): void {
  const seconds = (performance.now() - start) / 1000;
  add(machine, what, seconds <= bound, `${seconds.toFixed(1)} s, of ${bound}`);
}

function equals(machine: Machine | undefined, what: string, is: unknown, wanted: string): void {
  add(machine, what, is === wanted, String(is));
}

function add(machine: Machine | undefined, what: string, isGood: boolean, says: string): void {
  const row = { machine: machine === undefined ? "" : `${machine.name} (${machine.kernel})`, what, isGood, says };
  rows.push(row);
  console.log(`${row.machine} ${what}: ${says}${isGood ? "" : " FAILED"}`.trimStart());
}

function print(): void {
  const width = (key: "machine" | "what") => Math.max(...rows.map((row) => row[key].length));
  for (const { machine, what, isGood, says } of rows) {
    console.log(
      `${machine.padEnd(width("machine"))}  ${what.padEnd(width("what"))}  ${says}${isGood ? "" : "  FAILED"}`,
    );
  }
}

function sum(samples: readonly Sample[]): number | undefined {
  return samples.length === 0 ? undefined : samples.reduce((total, { value }) => total + value, 0);
}

function instances(samples: readonly Sample[]): string {
  return [...new Set(samples.map(({ labels }) => labels.instance))].join() || "none";
}
