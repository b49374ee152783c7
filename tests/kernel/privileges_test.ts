/** The same calls with all capabilities, with those that the package asks for, and with none: what works, and what is said. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Link } from "../../mod.ts";
import { PinDirectory } from "../fixture/place/bpffs.ts";
import { Cgroup } from "../fixture/place/cgroup.ts";
import { withOnly } from "../fixture/process/privileges.ts";
import { MOD, runScript } from "../fixture/process/script.ts";
import { cgroupEgress, xdp } from "../fixture/program/programs.ts";
import { isOlder, kernelTest } from "../fixture/run/kernel.ts";

const LEVELS = {
  all: [],
  some: withOnly("bpf", "net_admin", "perfmon"),
  none: withOnly(),
} as const;

type Level = keyof typeof LEVELS;

/** What a call ends with: "ok", or command, errno and reason, and what message or hint must say. */
type Ending = "ok" | readonly [error: string, says: RegExp];

/** A call, as the script has it, and how it ends at each level. */
type Row = readonly [name: string, source: string, endings: Record<Level, Ending>];

const lacks = (command: string, says: RegExp): Ending => [`${command} EPERM capability`, says];
/** Where capabilities do not matter to the call itself. */
const FREE = { all: "ok", some: "ok", none: "ok" } as const;
const BY_ID = lacks("LINK_GET_FD_BY_ID", /CAP_SYS_ADMIN.*CAP_BPF is not enough/);
const STATISTICS = lacks("ENABLE_STATS", /CAP_SYS_ADMIN.*CAP_BPF is not enough/);

const ROWS: readonly Row[] = [
  ["load a program for packets", 'load("xdp")', {
    all: "ok",
    some: "ok",
    none: lacks("PROG_LOAD", /lacks CAP_BPF and CAP_NET_ADMIN/),
  }],
  ["load a program that traces", 'load("raw_tracepoint")', {
    all: "ok",
    some: "ok",
    none: lacks("PROG_LOAD", /lacks CAP_BPF and CAP_PERFMON/),
  }],
  ["load an iterator", 'load("tracing", { expectedAttachType: "trace_iter", attachTo: "task" })', {
    all: "ok",
    some: "ok",
    none: lacks("PROG_LOAD", /lacks CAP_BPF and CAP_PERFMON/),
  }],
  ["make a map", 'BpfMap.create({ type: "hash", keySize: 4, valueSize: 4, maxEntries: 1 })', {
    all: "ok",
    some: "ok",
    none: lacks("MAP_CREATE", /lacks CAP_BPF/),
  }],
  ["open a pin", "openLink()", FREE],
  ["attach to a cgroup", 'Link.attach(openProgram("egress"), { type: "cgroup", cgroup, attachType })', {
    all: "ok",
    some: "ok",
    none: lacks("LINK_CREATE", /lacks CAP_NET_ADMIN/),
  }],
  [
    "attach to an interface",
    'Link.attach(openProgram("packets"), { type: "xdp", device: "lo", mode: "generic" })',
    FREE,
  ],
  ["read a link", "openLink().info()", FREE],
  ["update a link", 'openLink().update(openProgram("egress"))', FREE],
  ["pin a link", "openLink().pin(`${pins}/other`)", FREE],
  ["detach a link", "openLink().detach()", FREE],
  ["open a link by id", "Link.open(id)", { all: "ok", some: BY_ID, none: BY_ID }],
  ["ask a hook", 'Hook.query({ type: "cgroup", cgroup, attachType })', {
    all: "ok",
    some: "ok",
    none: lacks("PROG_QUERY", /CAP_NET_ADMIN/),
  }],
  ["count runs", "sys.enableStats()", { all: "ok", some: STATISTICS, none: STATISTICS }],
];

/** Before Linux 5.19 no command could be had without CAP_BPF, where kernel.unprivileged_bpf_disabled is set. */
const CLOSED: Ending = ["EPERM capability", /CAP_/];

for (const level of Object.keys(LEVELS) as Level[]) {
  kernelTest(`capabilities: ${level}`, { needs: ["cgroup2", "netns", "bpffs", "setpriv"] }, async () => {
    using cgroup = new Cgroup();
    using pins = new PinDirectory();
    const attachType = "cgroup_inet_egress";
    using egress = cgroupEgress();
    using packets = xdp();
    using link = Link.attach(egress, { type: "cgroup", cgroup: cgroup.path, attachType });
    egress.pin(pins.pin("egress"));
    packets.pin(pins.pin("packets"));
    link.pin(pins.pin("link"));
    const script = `
      import { BpfError, BpfMap, Hook, Link, Program } from "${MOD}";
      import * as sys from "${new URL("../../lib/sys/mod.ts", import.meta.url)}";
      const instructions = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
      const load = (type, options = {}) => Program.load({ type, instructions, ...options });
      const pins = "${pins.path}", cgroup = "${cgroup.path}", attachType = "${attachType}", id = ${link.id};
      const openLink = () => Link.openPinned(\`\${pins}/link\`);
      const openProgram = (name) => Program.openPinned(\`\${pins}/\${name}\`);
      const endings = [${ROWS.map(([, source]) => `() => ${source}`)}].map((call) => {
        try {
          call();
          return ["ok", ""];
        } catch (error) {
          if (!(error instanceof BpfError)) throw error;
          const { command, code, reason, message, hint } = error;
          return [[command, code, reason].join(" "), message + "; " + hint];
        }
      });
      console.log(JSON.stringify(endings));
      Deno.exit(); // and with it all that was opened`;
    const { output, errors } = await runScript(script, ["--allow-ffi"], { through: LEVELS[level] });
    assertEquals(errors, "");
    const isClosed = level === "none" && isOlder(Deno.osRelease(), "5.19");
    for (const [i, [error, text]] of (JSON.parse(output) as [string, string][]).entries()) {
      const [name, , endings] = ROWS[i]!;
      const ending = isClosed ? CLOSED : endings[level];
      if (ending === "ok") {
        assertEquals(error, "ok", `${name}: ${text}`);
      } else {
        assert(error.endsWith(ending[0]), `${name}: ${error} instead of ${ending[0]}`);
        assertMatch(text, ending[1], name);
      }
    }
  });
}
