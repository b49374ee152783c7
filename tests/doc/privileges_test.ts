/** The table of capabilities in the guide of `mod.ts`: with those of a row each call works, without any one of them it does not. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { BpfMap, Link, Program, type ProgramLoadOptions } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { withOnly } from "../fixture/process/privileges.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { kernelTest } from "../fixture/run/kernel.ts";
import { inTokenNamespace } from "../fixture/place/token_mount.ts";
import { guide, table } from "./guide.ts";

type Capability = "bpf" | "perfmon" | "net_admin" | "sys_admin";

/** Each row of the table: what it takes, and calls that show it. */
const ROWS: readonly (readonly [what: string, takes: readonly Capability[], calls: readonly string[]])[] = [
  [
    "`BpfMap.create`; `Program.load` of cgroup_skb, sk_lookup, socket_filter, syscall",
    ["bpf"],
    [
      'BpfMap.create({ type: "hash", keySize: 4, valueSize: 4, maxEntries: 1 })',
      'BpfMap.create({ type: "ringbuf", maxEntries: 4096 })',
      'load({ type: "cgroup_skb" })',
      'load({ type: "sk_lookup", expectedAttachType: "sk_lookup" })',
      'load({ type: "socket_filter" })',
      'load({ type: "syscall", sleepable: true })',
    ],
  ],
  [
    "`Program.load` of xdp, sched_cls, netfilter, sock_ops, cgroup_sock_addr, cgroup_device",
    ["bpf", "net_admin"],
    [
      'load({ type: "xdp" })',
      'load({ type: "sched_cls" })',
      'load({ type: "netfilter", expectedAttachType: "netfilter" })',
      'load({ type: "sock_ops" })',
      'load({ type: "cgroup_sock_addr", expectedAttachType: "cgroup_inet4_connect" })',
      'load({ type: "cgroup_device" })',
    ],
  ],
  [
    "`Program.load` of kprobe, tracepoint, perf_event, raw_tracepoint, tracing",
    ["bpf", "perfmon"],
    [
      'load({ type: "kprobe" })',
      'load({ type: "tracepoint" })',
      'load({ type: "perf_event" })',
      'load({ type: "raw_tracepoint" })',
      'load({ type: "tracing", expectedAttachType: "trace_iter", attachTo: "task" })',
    ],
  ],
  [
    "`Link.attach` to xdp, tcx, netns, netfilter, iter, raw_tracepoint, uprobe_multi",
    [],
    [
      'attach("xdp", { type: "xdp", device: "lo", mode: "generic" })',
      'attach("sched_cls", { type: "tcx", device: "lo", direction: "ingress" })',
      'attach("sk_lookup", { type: "netns", attachType: "sk_lookup" })',
      'attach("netfilter", { type: "netfilter", family: "ipv4", hook: "local_in", priority: 7 })',
      'attach("iter", { type: "iter" })',
      'attach("raw_tracepoint", { type: "raw_tracepoint", name: "sched_switch" })',
      'attach("uprobe_multi", { type: "uprobe_multi", path: "/bin/sh", offsets: [0x4000] })',
    ],
  ],
  ["`Link.attach` to a cgroup: of other programs", [], [
    'attach("connect", { type: "cgroup", cgroup, attachType: "cgroup_inet4_connect" })',
  ]],
  ["`Link.attach` to a cgroup: of cgroup_skb", ["net_admin"], [
    'attach("cgroup_skb", { type: "cgroup", cgroup, attachType: "cgroup_inet_egress" })',
  ]],
  ["`Link.attach` to tracepoint, perf_event", ["perfmon"], [
    'attach("tracepoint", { type: "tracepoint", category: "syscalls", name: "sys_enter_getpid" })',
    'attach("perf_event", { type: "perf_event", event: { type: "software", config: 0n, cpu: 0, samplePeriod: 1000000n } })',
  ]],
  ["`Link.attach` to uprobe, or with `netns` to an interface", ["sys_admin"], [
    'attach("kprobe", { type: "uprobe", path: "/bin/sh", offset: 0x4000 })',
    'attach("xdp", { type: "xdp", device: "lo", mode: "generic", netns: "/proc/self/ns/net" })',
  ]],
  [
    "`openPinned`, `update`, `info`, `pin`, `unpin`, `detach`, `close`, `holders`, `Program.run`",
    [],
    [
      'openLink().update(open("cgroup_skb"))',
      "openLink().info()",
      "{ const link = openLink(); link.pin(`${pins}/${Deno.pid}`); link.unpin(); }",
      "openLink().holders()",
      "{ const link = openLink(); link.close(); }",
      'open("xdp").run({ data: new Uint8Array(64) })',
    ],
  ],
  ["`Hook.query` of cgroup, tcx, netns", ["net_admin"], [
    'Hook.query({ type: "cgroup", cgroup, attachType: "cgroup_inet_egress" })',
    'Hook.query({ type: "tcx", device: "lo", direction: "ingress" })',
    'Hook.query({ type: "netns", attachType: "sk_lookup" })',
  ]],
  ["`Link.infos`, `list`, `watch` of all links, and names of programs", ["bpf", "perfmon"], [
    "whole(Link.list())",
    "whole(Link.watch())",
    "if (new Names().program(programId) === undefined) missing()",
  ]],
  ["`Link.open`, `Link.all`, `Program.open`, `BpfMap.open`; counting runs (`enableStats`)", ["sys_admin"], [
    "Link.open(linkId)",
    "Program.open(programId)",
    "BpfMap.open(mapId)",
    "enableStats()",
  ]],
];

const setUp = (cgroup: string, pins: string, ids: string) => `
  import { BpfError, BpfMap, Hook, Link, Names, Program } from "${MOD}";
  import { enableStats } from "${new URL("../../lib/sys/mod.ts", import.meta.url)}";
  const cgroup = "${cgroup}", pins = "${pins}", ${ids};
  const instructions = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
  const load = (options) => Program.load({ instructions, license: "GPL", ...options });
  const open = (name) => Program.openPinned(\`\${pins}/\${name}\`);
  const openLink = () => Link.openPinned(\`\${pins}/link\`);
  const attach = (name, target) => Link.attach(open(name), target).close();
  class Missing extends Error {}
  const missing = () => { throw new Missing(); };
  const whole = (list) => list.partial && missing();`;

kernelTest("the table of capabilities is what this kernel asks for", {
  needs: ["cgroup2", "netns", "bpffs", "setpriv"],
  since: "6.6", // for all types
}, async () => {
  using cgroup = new Cgroup();
  using pins = new PinDirectory();
  const instructions = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
  const pin = (name: string, options: Omit<ProgramLoadOptions, "instructions">) => {
    using program = Program.load({ instructions, license: "GPL", ...options });
    program.pin(pins.pin(name));
  };
  for (const type of ["xdp", "sched_cls", "raw_tracepoint", "tracepoint", "perf_event", "kprobe"] as const) {
    pin(type, { type });
  }
  pin("sk_lookup", { type: "sk_lookup", expectedAttachType: "sk_lookup" });
  pin("netfilter", { type: "netfilter", expectedAttachType: "netfilter" });
  pin("connect", { type: "cgroup_sock_addr", expectedAttachType: "cgroup_inet4_connect" });
  pin("uprobe_multi", { type: "kprobe", expectedAttachType: "trace_uprobe_multi" });
  pin("iter", { type: "tracing", expectedAttachType: "trace_iter", attachTo: "task" });
  using egress = Program.load({ type: "cgroup_skb", instructions, name: "egress" });
  egress.pin(pins.pin("cgroup_skb"));
  using map = BpfMap.create({ type: "array", keySize: 4, valueSize: 4, maxEntries: 1 });
  using link = Link.attach(egress, { type: "cgroup", cgroup: cgroup.path, attachType: "cgroup_inet_egress" });
  link.pin(pins.pin("link"));
  const ids = `linkId = ${link.id}, programId = ${egress.id}, mapId = ${map.id}`;
  const calls = ROWS.flatMap(([, , calls]) => calls);
  const script = `${setUp(cgroup.path, pins.path, ids)}
    const lacks = (error) => error instanceof Missing || error instanceof BpfError && error.reason === "capability";
    console.log(JSON.stringify([${calls.map((call) => `() => { ${call} }`)}].map((call) => {
      try {
        call();
        return "ok";
      } catch (error) {
        return lacks(error) ? "refused" : String(error.stack);
      }
    })));
    Deno.exit();`;

  const answers = new Map<string, Promise<string[]>>();
  const withSet = (set: readonly Capability[]) => {
    const key = set.join();
    if (!answers.has(key)) answers.set(key, run(script, set));
    return answers.get(key)!;
  };
  const instead = await withSet(["sys_admin"]);
  assertEquals(instead, calls.map(() => "ok"), "CAP_SYS_ADMIN stands in for all");
  for (const [what, takes, shown] of ROWS) {
    for (const missing of [undefined, ...takes]) {
      const all = await withSet(takes.filter((capability) => capability !== missing));
      for (const call of shown) {
        const answer = all[calls.indexOf(call)];
        assertEquals(answer, missing === undefined ? "ok" : "refused", `${what}: ${call} without ${missing ?? "more"}`);
      }
    }
  }
});

async function run(script: string, set: readonly Capability[]): Promise<string[]> {
  // a tracefs of its own, since looking for one takes more
  const mount = ["unshare", "--mount", "sh", "-ec", 'mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"', "sh"];
  const { output, errors } = await runScript(script, ["--allow-ffi", "--no-check", "--allow-read"], {
    through: [...mount, ...withOnly(...set)],
  });
  assertEquals(errors, "");
  return JSON.parse(output);
}

/** The block of the guide in a language, of those about privileges. */
function block(language: string): string {
  const text = guide("mod.ts"), start = text.indexOf("## Least privileges");
  const [, code] = new RegExp(`\\n\`\`\`${language}\n([^]*?)\`\`\``).exec(
    text.slice(start, text.indexOf("\n## ", start + 1)),
  )!;
  return code!;
}

kernelTest("the guide's command for a user without root attaches to a cgroup", {
  needs: ["cgroup2", "setpriv"],
}, async () => {
  using cgroup = new Cgroup();
  Deno.chmodSync(cgroup.path, 0o755); // as mkdir makes it
  const folder = Deno.makeTempDirSync();
  try {
    Deno.chmodSync(folder, 0o777);
    const main = `${folder}/main.ts`;
    Deno.writeTextFileSync(
      main,
      `import { Link, Program } from "./mod.ts";
       const instructions = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
       using program = Program.load({ type: "cgroup_skb", instructions });
       using link = Link.attach(program, { type: "cgroup", cgroup: "${cgroup.path}", attachType: "cgroup_inet_egress" });
       console.log(link.info().type, Deno.uid() !== 0);`,
    );
    // copies, since others may not read what is root's
    const copy = new Deno.Command("cp", { args: ["-r", "mod.ts", "lib", "deno.json", Deno.execPath(), folder] });
    assert(copy.outputSync().success);
    const deno = `${folder}/${Deno.execPath().replace(/.*\//, "")} run --no-config --no-lock`;
    const command = block("sh").replace(" deno run", ` ${deno}`).replace("--allow-ffi", "--allow-ffi --allow-sys=uid")
      .replace("main.ts", main);
    const { code, stdout, stderr } = await new Deno.Command("sh", {
      args: ["-ec", command],
      cwd: "/",
      env: { NO_COLOR: "1", HOME: folder, DENO_DIR: `${folder}/cache` },
    }).output();
    const [output, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals([code, output, errors], [0, "cgroup true\n", ""]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("the guide's unit of systemd has the capabilities of its command", () => {
  const unit = block("ini"), [, set] = /--ambient-caps=-all,(\S+)/.exec(block("sh"))!;
  const names = set!.split(",").map((name) => `CAP_${name.slice(1).toUpperCase()}`).join(" ");
  assertStringIncludes(unit, `\nAmbientCapabilities=${names}\nCapabilityBoundingSet=${names}\n`);
});

kernelTest("the guide's program with a token attaches in a user namespace", {
  needs: ["cgroup2", "userns"],
  since: "6.9",
}, async () => {
  using cgroup = new Cgroup();
  const delegates = { delegate_cmds: "any", delegate_maps: "any", delegate_progs: "any", delegate_attachs: "any" };
  const [imports, code] = block("ts ignore").split("\n\n");
  const names = imports!.replace(/^import .*sys";$/m, "").replace('"@bpf/link"', `"${MOD}"`);
  const body = code!.replace('open("/run/tokens")', "root").replace("/sys/fs/cgroup/web", cgroup.path);
  assertMatch(await inTokenNamespace(delegates, `${names}\n${body}`), /type: "cgroup"/);
});

Deno.test("the guide's table of capabilities has the rows that are tested", () => {
  const rows = table("mod.ts", "| call");
  const nameOf = (capability: string) => `CAP_${capability.toUpperCase()}`;
  assertEquals(rows, ROWS.map(([what, takes]) => [what, takes.map(nameOf).join(", ") || "nothing"]));
});
