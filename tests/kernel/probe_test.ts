/** `probe()` against what the kernel then really does, both ways: a "yes" must work, and a "no" must not. */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { Hook, Link, openHandles, probe, type TargetProbe, type TargetType } from "../../mod.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { WITHOUT_CAPABILITIES } from "../fixture/process/privileges.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { cgroupEgress, skLookup, tcx, xdp } from "../fixture/program/programs.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { mountPoints } from "../fixture/run/own.ts";
import { until } from "../fixture/run/wait.ts";
import { attempt, SURROUNDINGS } from "./attempt.ts";
import { ROWS } from "./conformance.ts";

const QUESTIONS: (keyof TargetProbe)[] = ["attach", "update", "detach", "cookie", "position"];

for (const type of Object.keys(probe()) as TargetType[]) {
  if (type === "struct_ops") continue; // such links are for virtual machines only
  const row = ROWS.find(({ name }) => name === type || name === `trace_${type}` || name.startsWith(`${type} (`));
  const needs = SURROUNDINGS.filter((need) => row?.needs.includes(need));
  kernelTest(`probe is right about ${type}`, { needs }, async () => {
    assert(row, `there is no row of ${type} to compare with`);
    const answers = probe()[type];
    for (const question of QUESTIONS) {
      const { answer, reason } = answers[question];
      const failure = await attempt(row, question);
      assertEquals(
        answer,
        failure === undefined ? "yes" : "no",
        `${question}: ${reason ?? "it should work"}; in fact: ${failure ?? "it works"}`,
      );
    }
  });
}

kernelTest("probe answers each question, and gives a reason for each no", {}, () => {
  for (const [type, answers] of Object.entries(probe())) {
    assertEquals(Object.keys(answers), QUESTIONS, type);
    for (const { answer, reason } of Object.values(answers)) {
      assertNotEquals(answer, "unknown", `${type}: ${reason}`);
      if (answer === "yes") assertEquals(reason, undefined, type);
      else assertMatch(reason ?? "", / /, type);
    }
  }
});

kernelTest(
  "probe touches nothing, and does not depend on what is attached",
  { needs: ["cgroup2", "netns"] },
  async () => {
    const answers = probe();
    using own = new DisposableStack();
    const cgroup = own.use(new Cgroup());
    const links = [
      Link.attach(own.use(cgroupEgress()), { type: "cgroup", cgroup: cgroup.path }),
      Link.attach(own.use(xdp()), { type: "xdp", device: "lo", mode: "generic" }),
      Link.attach(own.use(skLookup()), { type: "netns" }),
      ...answers.tcx.attach.answer === "yes"
        ? [Link.attach(own.use(tcx()), { type: "tcx", device: "lo", direction: "ingress" })]
        : [],
    ];
    links.forEach((link) => own.use(link));
    // a revision counts what came and went in between
    const state = () => ({
      infos: links.map((link) => link.info()),
      hooks: [
        Hook.query({ type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" }),
        Hook.query({ type: "netns", attachType: "sk_lookup" }),
        ...answers.tcx.attach.answer === "yes" ? [Hook.query({ type: "tcx", device: "lo", direction: "ingress" })] : [],
      ].map(({ revision, entries, effective }) => ({ revision, entries, effective })),
      handles: openHandles(),
    });
    const before = state(), cgroups = allCgroups();
    assertEquals(probe(), answers);
    assertEquals(state(), before);
    await until(() => allCgroups().isSubsetOf(cgroups), "no new cgroups");
  },
);

function allCgroups(): Set<string> {
  const below = (directory: string): string[] => {
    try {
      return [...Deno.readDirSync(directory)].filter(({ isDirectory }) => isDirectory)
        .flatMap(({ name }) => [`${directory}/${name}`, ...below(`${directory}/${name}`)]);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || String(error).includes("os error 19")) return []; // it ended
      throw error;
    }
  };
  return new Set(mountPoints("cgroup2").flatMap(below));
}

kernelTest("probe without capabilities: every no names the one that is missing", { needs: ["setpriv"] }, async () => {
  const script = `import { probe } from "${MOD}"; console.log(JSON.stringify(probe()));`;
  const { output, errors } = await runScript(script, ["--allow-ffi"], { through: WITHOUT_CAPABILITIES });
  assertEquals(errors, "");
  const answers: ReturnType<typeof probe> = JSON.parse(output);
  for (const [type, ofType] of Object.entries(answers)) {
    for (const [question, { answer, reason }] of Object.entries(ofType)) {
      assertEquals(answer, "no", `${type}.${question}`);
      assertMatch(reason ?? "", /lacks CAP_(BPF|NET_ADMIN|PERFMON)/, `${type}.${question}`);
    }
  }
});

kernelTest("probe says that it is policy where privileges suffice", { needs: ["no trampolines"] }, () => {
  assertMatch(
    probe().tracing.attach.reason ?? "",
    /kernel refuses attach type trace_fentry by policy; privileges are sufficient/,
  );
});
