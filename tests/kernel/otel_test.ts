/** Links for a fleet: what a collector gets, from the library and from `bpflink agent`. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { close, enableStats } from "../../lib/sys/mod.ts";
import { expectedLinks, isTelemetryOn, type PublishedEvent, publishLinks } from "../../lib/otel/mod.ts";
import { Link } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { commandLine } from "../fixture/process/bpflink.ts";
import { Collector } from "../fixture/process/collector.ts";
import { withOnly, WITHOUT_CAPABILITIES } from "../fixture/process/privileges.ts";
import { Running } from "../fixture/process/running.ts";
import { runScript } from "../fixture/process/script.ts";
import { answering, CALLED } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { inOwnVm } from "../fixture/run/own.ts";
import { missRuns } from "../fixture/run/runs.ts";
import { until } from "../fixture/run/wait.ts";

const EGRESS = "cgroup_inet_egress", PATIENCE_MS = 120_000;
const NEVER_MS = 3_600_000; // an interval that does not come round: only the end exports

const SAMPLES = { type: "software", config: "cpu-clock", cpu: 0, sampleFrequency: 1n } as const;
const OTEL = new URL("../../lib/otel/mod.ts", import.meta.url);

const egress = (name: string) => answering(1, { type: "cgroup_skb", expectedAttachType: EGRESS, name });
const attach = (program: ReturnType<typeof egress>, cgroup: Cgroup) =>
  Link.attach(program, { type: "cgroup", cgroup: cgroup.path, attachType: EGRESS });

/** `bpflink agent`, with what it says. */
class Agent extends Running {
  constructor(
    env: Record<string, string>,
    args: readonly string[] = [],
    { through, flags }: { through?: readonly string[]; flags?: readonly string[] } = {},
  ) {
    super(commandLine(["agent", "--interval", "50", ...args], through, flags), { env });
  }
}

const PLACES = { needs: ["cgroup2", "netns"] } as const;

/** What need not be seen on other kernels: an emulated machine takes many seconds to start the command. */
function agentTest(...[name, requirements, test]: Parameters<typeof kernelTest>): void {
  const missing = inOwnVm() ? "needs a machine that is not emulated" : undefined;
  kernelTest(`agent: ${name}`, { ...requirements, missing }, test);
}

agentTest("what is attached is seen within two exports, and so is its end; then no more", PLACES, async () => {
  using cgroup = new Cgroup();
  using program = egress("seen");
  await using collector = new Collector();
  await using agent = new Agent(collector.environment(1000));
  await agent.says(/publishing \d+ links/);
  const series = {
    "bpf.link.type": "cgroup",
    "bpf.link.place": `${cgroup.path} ${EGRESS}`,
    "bpf.program.name": "seen",
  };
  const reaches = async (value: number) => {
    const before = collector.exports;
    await collector.reaches("bpf.links", series, value);
    assert(collector.exports - before <= 2, `${collector.exports - before} exports`);
  };
  {
    using _ = attach(program, cgroup);
    await reaches(1);
  }
  await reaches(0);
  assertEquals(collector.points.find(({ metric }) => metric === "bpf.links")!.unit, "{link}");
  assertEquals(await agent.terminated(), 0);
});

agentTest("SIGTERM takes a last look and exports what was not exported yet", PLACES, async () => {
  using cgroup = new Cgroup();
  using program = egress("last");
  await using collector = new Collector();
  await using agent = new Agent(collector.environment(NEVER_MS), ["--json", "--interval", `${NEVER_MS}`]);
  await agent.says(/publishing \d+ links/);
  using link = attach(program, cgroup);
  assertEquals([await agent.terminated(), collector.exports], [0, 1]);
  assertEquals(collector.value("bpf.links", { "bpf.program.name": "last" }), 1);
  const line = agent.output.split("\n").find((line) => line.includes("last"))!;
  const place = `${cgroup.path} ${EGRESS}`;
  assertEquals(JSON.parse(line), {
    published: { kind: "added", id: link.id, type: "cgroup", place, program: "last" },
  });
  const span = collector.spans.find(({ attributes }) => attributes["bpf.link.id"] === link.id)!;
  assertEquals(span.name, "bpf.link.added");
  assertEquals(span.attributes, {
    "bpf.link.type": "cgroup",
    "bpf.link.place": place,
    "bpf.program.name": "last",
    "bpf.link.id": link.id,
    "bpf.program.id": program.id,
  });
  const log = collector.logs.find(({ name }) => name === line)!;
  assertEquals(log.traceId, span.traceId); // one leads to the other
});

agentTest("SIGTERM ends it also during an export", PLACES, async () => {
  await using collector = new Collector();
  for (let i = 0; i < 10; i++) {
    await using agent = new Agent(collector.environment(20));
    await agent.says(/publishing/);
    assertEquals(await agent.terminated(), 0);
  }
});

agentTest("a link that is not expected, and one that is missing until it comes", PLACES, async () => {
  using cgroup = new Cgroup();
  using wanted = egress("wanted"), stranger = egress("stranger");
  const file = Deno.makeTempFileSync({ suffix: ".json" });
  Deno.writeTextFileSync(file, `[{ "type": "cgroup", "place": "${cgroup.path} *", "program": "wanted" }]`);
  try {
    await using collector = new Collector();
    await using agent = new Agent(collector.environment(300), ["--expected", file]);
    const missing = { "bpf.program.name": "wanted" }, unexpected = { "bpf.program.name": "stranger" };
    await collector.reaches("bpf.links.missing", missing, 1);
    {
      using link = attach(stranger, cgroup);
      await collector.reaches("bpf.links.unexpected", unexpected, 1);
      await agent.prints(new RegExp(`^unexpected ${link.id} cgroup `, "m"));
      link.update(wanted); // no other link, but another program
      await collector.reaches("bpf.links.missing", missing, 0);
      await collector.reaches("bpf.links.unexpected", unexpected, 0);
    }
    await collector.reaches("bpf.links.missing", missing, 1);
    assertEquals(await agent.interrupted(), 0);
    const mine = agent.output.split("\n").filter((line) => line.includes(cgroup.path))
      .map((line) => line.replace(/ cgroup .*?(: |$)/, "$1").replace(/ \d+/, ""));
    assertEquals(mine, ["missing", "added", "unexpected", "changed: program", "found", "removed", "missing"]);
  } finally {
    Deno.removeSync(file);
  }
});

agentTest("neither its own iterator nor that of another is published", PLACES, async () => {
  await using collector = new Collector(), other = new Collector();
  await using a = new Agent(collector.environment(300));
  await using b = new Agent(other.environment(300));
  await a.says(/publishing/);
  await b.says(/source: iterator/);
  const [seenA, seenB] = [collector.exports, other.exports];
  await until(() => collector.exports > seenA + 1 && other.exports > seenB + 1, "exports", PATIENCE_MS);
  const ours = [...collector.points, ...other.points].filter(({ metric, attributes }) =>
    metric === "bpf.links" && ["links", "references", "programs"].includes(String(attributes["bpf.program.name"]))
  );
  assertEquals(ours, []);
});

agentTest("runs of programs, where the kernel counts them", PLACES, async () => {
  using cgroup = new Cgroup();
  using program = egress("counted");
  using _ = attach(program, cgroup);
  const counting = enableStats();
  try {
    await using collector = new Collector();
    await using agent = new Agent(collector.environment(300));
    await agent.says(/publishing/);
    const talk = "await Deno.connect({ hostname: '127.0.0.1', port: 9 }).catch(() => {})"; // a packet at least
    const args = ["-c", 'echo 0 >"$0/cgroup.procs"; exec "$@"', cgroup.path, Deno.execPath(), "eval", talk];
    assert((await new Deno.Command("sh", { args }).output()).success);
    const series = { "bpf.program.id": program.id, "bpf.program.name": "counted" };
    await until(() => (collector.value("bpf.program.runs", series) ?? 0) >= 1, "runs", PATIENCE_MS);
    assert(collector.value("bpf.program.run.time", series)! > 0);
    assert(collector.value("bpf.program.run.time", series)! < 1, "seconds");
  } finally {
    close(counting);
  }
});

kernelTest("agent: missed runs of a probe, where the kernel counts them", {
  needs: [...PLACES.needs, "kprobe"],
  since: "6.7",
}, async () => {
  using program = answering(0, { type: "kprobe", name: "left_out" });
  using link = Link.attach(program, { type: "kprobe", symbol: CALLED });
  missRuns(3);
  await using collector = new Collector();
  await using agent = new Agent(collector.environment(300));
  const series = { "bpf.link.id": link.id, "bpf.link.type": "perf_event", "bpf.program.name": "left_out" };
  await until(() => collector.value("bpf.link.missed", series)! >= 3, () => agent.errors, PATIENCE_MS);
  assertEquals(await agent.terminated(), 0);
});

agentTest("CAP_BPF and CAP_PERFMON suffice, also for names of programs", {
  needs: ["cgroup2", "netns", "setpriv"],
  since: "6.2",
}, async () => {
  using cgroup = new Cgroup();
  using program = egress("fleet");
  using _ = attach(program, cgroup);
  await using collector = new Collector();
  await using agent = new Agent(collector.environment(300), [], { through: withOnly("bpf", "perfmon") });
  await collector.reaches("bpf.links", { "bpf.link.type": "cgroup", "bpf.program.name": "fleet" }, 1);
  assertMatch(agent.errors, /source: iterator/);
  assertEquals(await agent.terminated(), 0);
});

agentTest("a list that root took agrees with what two capabilities show", {
  needs: [...PLACES.needs, "setpriv"],
  since: "6.6",
}, async () => {
  using program = answering(0, { type: "perf_event", name: "sampler" });
  const file = Deno.makeTempFileSync();
  try {
    let link = Link.attach(program, { type: "perf_event", event: SAMPLES });
    await using root = new Agent({}, ["--snapshot"]);
    assertEquals(await root.ended(), 0);
    assertMatch(root.output, /"place":"event type [^"]*","program":"sampler"/);
    Deno.writeTextFileSync(file, root.output);
    await using collector = new Collector();
    const through = withOnly("bpf", "perfmon");
    await using agent = new Agent(collector.environment(300), ["--expected", file], { through });
    await collector.reaches("bpf.links", { "bpf.program.name": "sampler" }, 1);
    assertEquals(collector.value("bpf.links.missing", { "bpf.program.name": "sampler" }), 0);
    assertEquals(collector.value("bpf.links.unexpected", { "bpf.program.name": "sampler" }), undefined);
    link.close();
    await collector.reaches("bpf.links.missing", { "bpf.program.name": "sampler" }, 1);
    using other = answering(0, { type: "perf_event", name: "other" });
    link = Link.attach(other, { type: "perf_event", event: SAMPLES });
    await collector.reaches("bpf.links.unexpected", { "bpf.program.name": "other" }, 1);
    link.close();
    assertEquals(await agent.terminated(), 0);
  } finally {
    Deno.removeSync(file);
  }
});

agentTest("without capabilities nothing counts as missing", {
  needs: ["cgroup2", "netns", "setpriv"],
  since: "5.19",
}, async () => {
  const file = Deno.makeTempFileSync();
  Deno.writeTextFileSync(file, '[{ "type": "tcx", "program": "hidden" }]');
  try {
    await using collector = new Collector();
    const through = WITHOUT_CAPABILITIES;
    await using agent = new Agent(collector.environment(300), ["--expected", file], { through });
    await agent.says(/none is reported as missing/);
    assertEquals(await agent.terminated(), 4);
    assertEquals([collector.value("bpf.links.missing", {}), agent.output], [undefined, ""]);
  } finally {
    Deno.removeSync(file);
  }
});

agentTest("telemetry that is off is said, and nothing runs", PLACES, async () => {
  await using agent = new Agent({});
  assertEquals(await agent.ended(), 1);
  assertMatch(agent.errors, /^bpflink: telemetry is off.*OTEL_DENO=true.*OTEL_EXPORTER_OTLP_ENDPOINT/);
  assertEquals(agent.output, "");
});

agentTest("a collector that is away is said, and that it is back", PLACES, async () => {
  const flags = ["--allow-net", "--allow-env"];
  let port: number, env: Record<string, string>;
  {
    await using collector = new Collector();
    ({ port } = collector);
    env = collector.environment(300);
  }
  await using agent = new Agent(env, [], { flags });
  await agent.says(new RegExp(`the collector at http://127.0.0.1:${port}/v1/metrics does not take .*refused`, "i"));
  await using collector = new Collector(port);
  await agent.says(/answers again/);
  assertEquals(await agent.terminated(), 0);
  assert(collector.spans.every(({ name }) => name.startsWith("bpf.link.")), "its questions are no spans");
});

agentTest("a collector that goes away and comes back is said, and gets what happened meanwhile", PLACES, async () => {
  using cgroup = new Cgroup();
  using program = egress("meanwhile");
  const series = { "bpf.program.name": "meanwhile" };
  const first = new Collector();
  const env = first.environment(300), { port } = first;
  await using agent = new Agent(env, [], { flags: ["--allow-net", "--allow-env"] });
  await until(() => first.exports > 0, "an export", PATIENCE_MS);
  await first[Symbol.asyncDispose]();
  await agent.says(/does not take what is published/);
  using _ = attach(program, cgroup);
  await agent.prints(/^added \d+ .* program meanwhile$/m);
  await using second = new Collector(port);
  await agent.says(/answers again/);
  await second.reaches("bpf.links", series, 1);
  assertEquals(await agent.terminated(), 0);
});

agentTest("a collector that hangs from some time on is said, and does not keep it from ending", PLACES, async () => {
  await using collector = new Collector();
  const env = { ...collector.environment(300), OTEL_EXPORTER_OTLP_TIMEOUT: "1000" };
  await using agent = new Agent(env, [], { flags: ["--allow-net", "--allow-env"] });
  await until(() => collector.exports > 0, "an export", PATIENCE_MS);
  using _ = collector.hang();
  await agent.says(/does not take what is published: no answer within 5 s/);
  assertEquals(await agent.terminated(), 0);
});

agentTest("a collector that refuses is said", PLACES, async () => {
  await using collector = new Collector();
  const endpoint = `http://127.0.0.1:${collector.port}/away/`;
  const env = { ...collector.environment(300), OTEL_EXPORTER_OTLP_ENDPOINT: endpoint };
  await using agent = new Agent(env, [], { flags: ["--allow-net", "--allow-env"] });
  await agent.says(/\/away\/v1\/metrics does not take what is published: it answers with status 404/);
  assertEquals(await agent.terminated(), 0);
});

agentTest("a collector that never answers is said, and does not keep it from ending", PLACES, async () => {
  await using collector = new Collector();
  using deaf = Deno.listen({ hostname: "127.0.0.1", port: 0 }); // takes connections, and that is all
  const env = {
    ...collector.environment(NEVER_MS),
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${deaf.addr.port}`,
    OTEL_EXPORTER_OTLP_TIMEOUT: "1000",
  };
  await using agent = new Agent(env, [], { flags: ["--allow-net", "--allow-env"] });
  await agent.says(/does not take what is published: no answer within 5 s/);
  assertEquals(await agent.terminated(), 0);
});

agentTest("that it may not ask for the collector is said", PLACES, async () => {
  await using collector = new Collector();
  await using agent = new Agent(collector.environment(300));
  await agent.says(/whether the collector answers is not known: that takes --allow-env and --allow-net/);
  assertEquals(await agent.terminated(), 0);
});

agentTest("a list that is none is said before anything is published", PLACES, async () => {
  const file = Deno.makeTempFileSync();
  try {
    for (
      const [text, says] of [
        ["nonsense", /is not JSON/],
        ["{}", /must be an array of links/],
        ['[{ "type": "tcp" }]', /\[0\]\.type must be one of/],
        ['[{ "type": "tcx", "port": 1 }]', /has no field "port"/],
      ] as const
    ) {
      Deno.writeTextFileSync(file, text);
      await using agent = new Agent({ OTEL_DENO: "true" }, ["--expected", file]);
      assertEquals([await agent.ended(), agent.output], [2, ""], text);
      assertMatch(agent.errors, says);
    }
  } finally {
    Deno.removeSync(file);
  }
});

agentTest("--snapshot is a list that nothing differs from", PLACES, async () => {
  using cgroup = new Cgroup();
  using program = egress("kept");
  using _ = attach(program, cgroup);
  await using agent = new Agent({}, ["--snapshot"]);
  assertEquals(await agent.ended(), 0);
  const list = JSON.parse(agent.output) as { program: string }[];
  assertEquals(
    list.filter(({ program }) => program === "kept"),
    [
      { type: "cgroup", place: `${cgroup.path} ${EGRESS}`, program: "kept" },
    ] as unknown as typeof list,
  );
});

// ---- the library

kernelTest("publishLinks: events, once each, and a last look at its end", PLACES, async () => {
  using cgroup = new Cgroup();
  using program = egress("within");
  using first = attach(program, cgroup);
  const events: PublishedEvent[] = [], place = `${cgroup.path} ${EGRESS}`;
  const expected = [{ type: "cgroup", place }, { type: "cgroup", program: "nowhere" }] as const;
  const mine = () => events.filter((event) => event.place === place || event.program === "nowhere");
  await using publisher = publishLinks({ intervalMs: 10, expected, onEvent: (event) => events.push(event) });
  await publisher.settled;
  assertEquals([isTelemetryOn(), publisher.partial], [false, false]);
  assert(publisher.count >= 1);
  assertEquals(mine(), [{ kind: "missing", type: "cgroup", program: "nowhere" }]);
  assertThrows(() => publishLinks(), TypeError, "published already");
  const { id } = first;
  first.close();
  await until(() => mine().length === 3, () => JSON.stringify(mine()));
  using second = attach(program, cgroup);
  await publisher.close(); // at once
  await publisher.close();
  await publisher.finished;
  assertEquals(mine().map(({ kind, id }) => `${kind} ${id ?? ""}`.trim()), [
    "missing",
    `removed ${id}`,
    "missing",
    `added ${second.id}`,
    "found",
  ]);
});

kernelTest("publishLinks: an error of onEvent ends it, and close() throws it", PLACES, async () => {
  using cgroup = new Cgroup();
  using program = egress("thrown");
  const publisher = publishLinks({
    intervalMs: 10,
    onEvent: ({ program }) => {
      if (program === "thrown") throw new Error("mine");
    },
  });
  await publisher.settled;
  using _ = attach(program, cgroup);
  await assertRejects(() => publisher.finished, Error, "mine");
  await assertRejects(() => publisher.close(), Error, "mine");
  const stop = new AbortController();
  const next = publishLinks({ signal: stop.signal }); // the place is free
  stop.abort();
  await next.finished;
});

kernelTest("publishLinks: one after another in a process count a link once", PLACES, async () => {
  using cgroup = new Cgroup();
  using program = egress("again");
  using _ = attach(program, cgroup);
  await using collector = new Collector();
  const script = `
    import { publishLinks } from "${OTEL}";
    for (let i = 0; i < 3; i++) {
      await using publisher = publishLinks({ attributes: { team: "net" } });
      await publisher.settled;
    }`;
  const { errors } = await runScript(script, ["--allow-ffi"], { env: collector.environment(NEVER_MS) });
  assertEquals(errors, "");
  assertEquals(collector.value("bpf.links", { "bpf.program.name": "again", team: "net" }), 1);
});

kernelTest("expectedLinks: each type, place and program once", PLACES, () => {
  using cgroup = new Cgroup();
  using program = egress("twin");
  using other = egress("twin");
  using _a = attach(program, cgroup);
  using _b = attach(other, cgroup);
  assertEquals(expectedLinks().filter(({ program }) => program === "twin"), [
    { type: "cgroup", place: `${cgroup.path} ${EGRESS}`, program: "twin" },
  ]);
});
