/** Questions that are refused: no answer is neither yes nor no. */
import { assertEquals, assertMatch } from "@std/assert";
import { PinDirectory } from "../../fixture/place/bpffs.ts";
import { FEW_FILES, MOD, runScript } from "../../fixture/process/script.ts";
import { skLookup } from "../../fixture/program/programs.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { BpfMap, Link } from "../../../mod.ts";

const SYS = new URL("../../../lib/sys/mod.ts", import.meta.url).href;
const REFUSE = new URL("../../fixture/process/refuse.ts", import.meta.url).href;

/** What a script logs, in which `outcome` gives the result of a call, or the reason and the code of its error. */
async function logged(source: string, through: readonly string[] = []): Promise<string[]> {
  const script = `
    import { BpfError, BpfMap, Hook, Link, probe, Program } from "${MOD}";
    import { refuse } from "${REFUSE}";
    import * as sys from "${SYS}";
    const EINTR = 4, EPERM = 1, EMFILE = 24;
    const loads = (type, value, options = {}) => Program.load({ type, ...options,
      instructions: new Uint8Array([0xb7, 0, 0, 0, value, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]) });
    const accept = loads("sk_lookup", 1, { expectedAttachType: "sk_lookup" });
    const outcome = (what, ask) => {
      let result;
      try {
        result = ask();
      } catch (error) {
        result = error instanceof BpfError ? error.reason + " " + error.code : error.name + " " + error.message;
      }
      console.log(what, result);
    };
    ${source}`;
  const { output, errors } = await runScript(script, ["--allow-ffi"], { through });
  assertEquals(errors, "");
  return output.trimEnd().split("\n");
}

kernelTest(
  "what an fd is, is asked of /proc where a policy refuses the question",
  { needs: ["netns", "bpffs"] },
  async () => {
    using pins = new PinDirectory();
    using program = skLookup();
    using map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
    using link = Link.attach(program, { type: "netns" });
    const objects = { link, program, map };
    for (const [kind, object] of Object.entries(objects)) object.pin(`${pins.path}/${kind}`);
    const rows = await logged(`
    const path = (kind) => ${JSON.stringify(pins.path)} + "/" + kind;
    const all = (what) => {
      for (const kind of ["link", "program", "map"]) {
        for (const [name, type] of Object.entries({ Link, Program, BpfMap })) {
          outcome(what + " " + kind + " as " + name, () => {
            using object = type.openPinned(path(kind));
            return object.id > 0;
          });
        }
      }
    };
    all("asked");
    const UPDATE = 29, BIND = 35, BATCH = 24;
    refuse(...[UPDATE, BIND, BATCH].map((argument) => ({ call: "bpf", argument, errno: EPERM })));
    all("refused");`);
    const kinds = { link: "Link", program: "Program", map: "BpfMap" };
    const expected = ["asked", "refused"].flatMap((what) =>
      Object.entries(kinds).flatMap(([kind, own]) =>
        Object.values(kinds).map((name) => `${what} ${kind} as ${name} ${name === own ? "true" : "mismatch EINVAL"}`)
      )
    );
    assertEquals(rows, expected);
  },
);

kernelTest("what nobody says is an error, and leaves no fd open", { needs: ["bpffs"] }, async () => {
  using pins = new PinDirectory();
  using map = BpfMap.create({ type: "array", valueSize: 4, maxEntries: 1 });
  map.pin(pins.pin("map"));
  const rows = await logged(
    `
    const UPDATE = 29, BIND = 35, BATCH = 24, files = [];
    refuse(...[UPDATE, BIND, BATCH].map((argument) => ({ call: "bpf", argument, errno: EPERM })));
    try {
      for (;;) files.push(sys.open("/dev/null"));
    } catch {}
    sys.close(files.pop()); // for the pin, and not for /proc
    for (const type of [Link, Program, BpfMap, Link]) outcome(type.name, () => type.openPinned("${pins.pin("map")}"));
    `,
    FEW_FILES,
  );
  const expected = ["Link", "Program", "BpfMap", "Link"].map((type) => `${type} policy EPERM`);
  assertEquals(rows, expected);
});

kernelTest("an id that the kernel refuses to tell is an error, not 0", { needs: ["netns", "bpffs"] }, async () => {
  using pins = new PinDirectory();
  const rows = await logged(`
    const link = Link.attach(accept, { type: "netns" });
    const INFO = 15;
    refuse({ call: "bpf", argument: INFO, errno: EPERM });
    outcome("id", () => link.id);
    outcome("holders", () => link.holders());
    outcome("pin", () => link.pin(${JSON.stringify(pins.path)} + "/link"));
    outcome("detach", () => link.detach());
    outcome("close", () => link.close());
    outcome("closed", () => link.id);`);
  assertEquals(rows, [
    "id policy EPERM",
    "holders policy EPERM",
    "pin policy EPERM",
    "detach undefined",
    "close undefined",
    "closed BadResource Cannot use link (netns): it is closed",
  ]);
  assertEquals([...Deno.readDirSync(pins.path)], []);
});

kernelTest("a verifier that signals interrupt is asked again, then that is said", {}, async () => {
  const rows = await logged(`
    const LOAD = 5, EAGAIN = 11;
    refuse({ call: "bpf", argument: LOAD, errno: EAGAIN });
    outcome("load", () => loads("xdp", 1));
    try {
      loads("xdp", 1);
    } catch (error) {
      console.log(error.message);
    }`);
  assertEquals(rows, [
    "load unsettled EAGAIN",
    "Cannot load xdp program: signals interrupted the verifier, five times in a row (EAGAIN)",
  ]);
});

kernelTest("a batch that is interrupted gives no elements that were not found", {}, async () => {
  const rows = await logged(`
    using map = BpfMap.create({ type: "hash", keySize: 4, valueSize: 4, maxEntries: 4 });
    map.update(new Uint8Array(4), new Uint8Array(4));
    const BATCH = 24;
    refuse({ call: "bpf", argument: BATCH, errno: EINTR });
    outcome("entries", () => [...map.entries()].length);`);
  assertEquals(rows, ["entries unsettled EINTR"]);
});

kernelTest(
  "without a free fd: probe() says unknown, never no, and every call says that it is the limit",
  {},
  async () => {
    const rows = await logged(
      `
    const loop = loads("raw_tracepoint", 0), trace = loads("tracepoint", 0);
    const held = Link.attach(loop, { type: "raw_tracepoint", name: "sched_process_exit" });
    void held.id;
    const before = probe();
    const files = [];
    const fill = () => {
      try {
        for (;;) files.push(sys.open("/dev/null"));
      } catch (error) {
        if (error.code !== "EMFILE") throw error;
      }
    };
    fill();
    for (let free = 0; free < 6; free++) {
      for (const [kind, questions] of Object.entries(probe())) {
        for (const [question, { answer, reason }] of Object.entries(questions)) {
          const was = before[kind][question].answer;
          if (answer !== was && (answer !== "unknown" || !/too many open files/.test(reason))) {
            console.log(free + " free: " + kind + " " + question + ": " + was + " -> " + answer + ": " + reason);
          }
        }
      }
      sys.close(files.pop());
    }
    fill();
    outcome("open", () => Link.open(held.id));
    outcome("device", () => Hook.query({ type: "xdp", device: "lo" }));
    outcome("tracepoint", () => Link.attach(trace, { type: "tracepoint", category: "sched", name: "sched_switch" }));
    outcome("attach", () => Link.attach(loop, { type: "raw_tracepoint", name: "sched_switch" }));
    outcome("attachTo", () => loads("tracing", 0, { expectedAttachType: "trace_raw_tp", attachTo: "sched_switch" }));
    outcome("load", () => loads("raw_tracepoint", 0));
    outcome("map", () => BpfMap.create({ type: "struct_ops", struct: "tcp_congestion_ops", maxEntries: 1 }));
    outcome("iterator", () => Link.infos({ source: "iterator" }));
    outcome("holders", () => held.holders());
    `,
      FEW_FILES,
    );
    assertEquals(rows.filter((row) => !row.endsWith("limit EMFILE")), []);
    assertEquals(rows.length, 9);
  },
);

kernelTest("what cannot be read of this process is no missing capability, and no old kernel", {}, async () => {
  const rows = await logged(
    `
    const LOAD = 5;
    const files = [];
    refuse({ call: "bpf", argument: LOAD, errno: EPERM });
    try {
      for (;;) files.push(sys.open("/dev/null"));
    } catch {}
    outcome("load", () => loads("xdp", 1));`,
    FEW_FILES,
  );
  assertEquals(rows, ["load policy EPERM"]);
});

kernelTest("the native library says why there is no memory file for it", {}, async () => {
  for (
    const [errno, says] of [[1, /policy.*\(EPERM\)/], [38, /no sealed memory file \(ENOSYS\)/], [
      24,
      /too many open files/,
    ]]
  ) {
    const script = `
      import { refuse } from "${REFUSE}";
      import { probe } from "${MOD}";
      refuse({ call: "memfd_create", errno: ${errno} });
      try {
        probe();
      } catch (error) {
        console.log(error.message, error.name);
      }`;
    const { output, errors } = await runScript(script, ["--allow-ffi"]);
    assertEquals(errors, "");
    assertMatch(output, says as RegExp);
    assertMatch(output, /^Cannot load native library: .* NotSupported\n$/);
  }
});
