/** `probe()` against what the kernel then really does, both ways: a "yes" must work, and a "no" must not. */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import {
  type AnyLink,
  type AttachTarget,
  Hook,
  Link,
  openHandles,
  probe,
  type Program,
  type TargetProbe,
  type TargetType,
} from "../../mod.ts";
import { Cgroup } from "../fixture/cgroup.ts";
import { kernelTest, type Need } from "../fixture/kernel.ts";
import { mountPoints } from "../fixture/own.ts";
import { WITHOUT_CAPABILITIES } from "../fixture/privileges.ts";
import { cgroupEgress, skLookup, tcx, xdp } from "../fixture/programs.ts";
import { MOD, runScript } from "../fixture/script.ts";
import { until } from "../fixture/wait.ts";
import { type Row, ROWS } from "./conformance.ts";

/** How to find out for real: what the target has besides, and what is done with the link. */
interface Attempt {
  readonly target?: (target: AttachTarget) => AttachTarget;
  readonly use?: (link: AnyLink, next: Program) => void;
}

const COOKIE = 7n;
const withCookie = (target: AttachTarget): AttachTarget => {
  if (target.type !== "kprobe_multi" && target.type !== "uprobe_multi") {
    return { ...target, cookie: COOKIE } as AttachTarget;
  }
  return { ...target, cookies: [COOKIE] } as AttachTarget; // the rows attach to one function
};

const ATTEMPTS: Record<keyof TargetProbe, Attempt> = {
  attach: {},
  update: { use: (link, next) => link.update(next) },
  detach: { use: (link) => link.detach() },
  cookie: { target: withCookie },
  position: { target: (target) => ({ ...target, position: "first" }) as AttachTarget },
};

/** What a test makes by itself; all other needs are what `probe` is asked about. */
const SURROUNDINGS: readonly Need[] = ["cgroup2", "netns", "bpffs"];

for (const type of Object.keys(probe()) as TargetType[]) {
  if (type === "struct_ops") continue; // such links are for virtual machines only
  const row = ROWS.find(({ name }) => name === type || name === `trace_${type}` || name.startsWith(`${type} (`));
  const needs = SURROUNDINGS.filter((need) => row?.needs.includes(need));
  kernelTest(`probe is right about ${type}`, { needs }, async () => {
    assert(row, `there is no row of ${type} to compare with`);
    const answers = probe()[type];
    for (const question of Object.keys(ATTEMPTS) as (keyof TargetProbe)[]) {
      const { answer, reason } = answers[question];
      const failure = await attempt(row, ATTEMPTS[question]);
      assertEquals(
        answer,
        failure === undefined ? "yes" : "no",
        `${question}: ${reason ?? "it should work"}; in fact: ${failure ?? "it works"}`,
      );
    }
  });
}

/** Does it; says why it could not be done. */
async function attempt(row: Row, { target = (same) => same, use }: Attempt): Promise<string | undefined> {
  try {
    await using place = await row.place();
    using program = row.program("pass");
    using next = row.program("pass");
    using link = Link.attach(program, target(place.target)) as AnyLink;
    use?.(link, next);
    return undefined;
  } catch (error) {
    return String(error);
  }
}

kernelTest("probe answers each question, and gives a reason for each no", {}, () => {
  for (const [type, answers] of Object.entries(probe())) {
    assertEquals(Object.keys(answers), Object.keys(ATTEMPTS), type);
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

kernelTest("probe says that it is policy where privileges suffice", { needs: ["policy"] }, () => {
  assertMatch(
    probe().tracing.attach.reason ?? "",
    /kernel refuses attach type trace_fentry by policy; privileges are sufficient/,
  );
});
