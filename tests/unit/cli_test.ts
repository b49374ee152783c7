/** The command `bpflink` as far as it asks the kernel nothing: arguments, help, layout. */
import { assert, assertEquals } from "@std/assert";
import { parseArguments } from "../../lib/cli/arguments.ts";
import { Choice, type Row, rowsTable } from "../../lib/cli/live.ts";
import { main } from "../../lib/cli/mod.ts";
import { printable } from "../../lib/check.ts";
import { holderText, placeOf, scriptOf } from "../../lib/cli/holder.ts";
import { countText, hookText, programWord, timeText } from "../../lib/cli/item.ts";
import { Rates } from "../../lib/cli/rates.ts";
import { columns, jsonLine, shorten, shortenAll, treeLines } from "../../lib/cli/table.ts";
import { keysIn } from "../../lib/cli/terminal.ts";
import { bpflink, startBpflink } from "../fixture/process/bpflink.ts";
import type { Outcome } from "../fixture/process/script.ts";

Deno.test("control and formatting characters are escaped, and nothing else", () => {
  assertEquals(printable("a\x1b[31m\n\u009b\u202e\u{e0001}"), "a\\x1b[31m\\x0a\\x9b\\u{202e}\\u{e0001}");
  assertEquals(printable("ünit\\x2d.slice 日本"), "ünit\\x2d.slice 日本");
});

Deno.test("JSON stays what it is, and commands no terminal either", () => {
  const value = { name: "\x1b\u009b\u202e\u{e0001}ü" };
  const line = jsonLine(value);
  assertEquals(JSON.parse(line), value);
  assertEquals(line, '{"name":"\\u001b\\u009b\\u202e\\udb40\\udc01ü"}');
});

Deno.test("what is too long loses its middle", () => {
  assertEquals(shorten("/sys/fs/cgroup/system.slice", 11), "/sys/…slice");
  assertEquals(shorten("short", 5), "short");
  assertEquals(shorten("日本日本", 3), "日…本");
});

Deno.test("columns: as wide as they need, in a terminal no wider than it is", () => {
  const rows = [["ID", "TARGET", "HELD BY"], ["7", "a".repeat(40), "b".repeat(30)]];
  assertEquals(columns(rows), [
    `ID  TARGET${" ".repeat(36)}HELD BY`,
    `7   ${"a".repeat(40)}  ${"b".repeat(30)}`,
  ]);
  for (const width of [80, 60, 40]) {
    const lines = columns(rows, width);
    assert(lines.every((line) => [...line].length <= width), lines.join("\n"));
    assertEquals(lines[1]!.startsWith("7   a"), true);
  }
});

Deno.test("texts that differ stay different however narrow the column is", () => {
  const texts = ["shop-frontend", "shop-backend", "build"].flatMap((name) =>
    ["inet_egress", "inet_ingress", "inet4_connect"].map((hook) =>
      `/kubepods.slice/kubepods-burstable.slice/${name}.service/a-container ${hook}`
    )
  );
  for (const width of [60, 40, 30, 20, 16]) {
    const short = shortenAll(texts, width);
    assertEquals(new Set(short.values()).size, texts.length, `${width}: ${[...short.values()].join("\n")}`);
    assert([...short.values()].every((text) => [...text].length <= width));
  }
  assertEquals(shortenAll(["a", "a much longer text"], 8), new Map([["a", "a"], ["a much longer text", "a mu…ext"]]));
  assertEquals([...shortenAll(["aaa1", "aaa2"], 2).values()], ["a…", "a…"]); // there is no room to tell
});

Deno.test("the columns before the main one keep their width while the others can give some", () => {
  const rows = [["ID", "TYPE", "WHERE", "HELD BY"], ["12", "raw_tracepoint", "w".repeat(60), "h".repeat(60)]];
  const [, line] = columns(rows, 80, { main: "WHERE" });
  const [id, type, where, held] = line!.split("  ");
  assertEquals([id, type, line!.length], ["12", "raw_tracepoint", 80]);
  assert(where!.length > 1.9 * held!.length);
  assert(columns(rows, 40, { main: "WHERE" }).every((line) => [...line].length <= 40));
});

Deno.test("columns: names are whole while holders can give some, and optional ones go before all is too narrow", () => {
  const rows = [
    ["ID", "HOOK", "PROGRAM", "RUNS", "HELD BY"],
    [
      "61518083",
      "cgroup /shop.slice/shop-frontend.service inet_egress",
      "allow_connects_",
      "1.2k",
      "firewall.service(1)",
    ],
  ];
  const layout = { main: "HOOK", optional: ["RUNS", "HELD BY"] };
  const at = (width: number) => columns(rows, width, layout).map((line) => line.split(/ {2,}/));
  assertEquals(at(80)[1]![2], "allow_connects_");
  assert(at(80)[1]![4]!.startsWith("firewall."), at(80)[1]![4]);
  assertEquals([at(80)[0]!.length, at(49)[0], at(40)[0]], [5, ["ID", "HOOK", "PROGRAM", "HELD BY"], [
    "ID",
    "HOOK",
    "PROGRAM",
  ]]);
  for (const width of [80, 49, 40]) {
    assertEquals(columns(rows, width, layout).filter((line) => [...line].length > width), []);
    assert(at(width)[1]!.includes("61518083"));
  }
});

Deno.test("of alike paths what stays is their end, from a slash on", () => {
  const places = ["/shop.slice", "/shop.slice/shop-frontend.service", "/shop.slice/shop-backend.service"];
  const short = shortenAll(places.map((path) => `cgroup ${path} inet_egress`), 27);
  assertEquals([...short.values()], [
    "…/shop.slice inet_egress",
    "…ontend.service inet_egress",
    "…ackend.service inet_egress",
  ]);
});

Deno.test("only paths of which the end is alike lose what they have in common", () => {
  const places = ["/shop.slice", "/shop.slice/shop-frontend.service", "/shop.slice/shop-backend.service"];
  const short = shortenAll(places.map((path) => `cgroup ${path} inet_egress`), 23);
  assertEquals([...short.values()], [
    "…shop.slice inet_egress",
    "…frontend.se…net_egress",
    "…backend.ser…net_egress",
  ]);
});

Deno.test("perf events are called what they are, and other links by their type", () => {
  assertEquals(hookText("perf_event", "uprobe libc.so.6:malloc+0x0"), "uprobe libc.so.6:malloc+0x0");
  assertEquals(hookText("tcx", "eth0 ingress"), "tcx eth0 ingress");
  assertEquals([programWord(7, "police"), programWord(7, undefined), programWord(undefined, "")], ["police", "7", "-"]);
});

Deno.test("a holder is named by unit or container, and by the script of its interpreter", () => {
  const id = "0123456789abcdef".repeat(4);
  const cgroups: [cgroup: string, place: ReturnType<typeof placeOf>][] = [
    ["/system.slice/agent.service", { unit: "agent.service" }],
    ["/user.slice/user-1000.slice/user@1000.service/app.slice/x.service/inner", { unit: "x.service" }],
    ["/user.slice/user-1000.slice/session-3.scope", {}],
    [`/system.slice/docker-${id}.scope`, { container: id }],
    [`/docker/${id}`, { container: id }],
    [`/kubepods.slice/kubepods-pod1.slice/cri-containerd-${id}.scope`, { container: id }],
    ["/machine.slice/machine-box.scope", { container: "box" }],
    ["/lxc.payload.box/system.slice", { container: "box" }],
    ["/", {}],
    ["", {}],
  ];
  for (const [cgroup, place] of cgroups) assertEquals(placeOf(cgroup), place, cgroup);
  const commands: [args: string[], script: string | undefined][] = [
    [["/usr/bin/deno", "run", "-A", "--config", "x.json", "/srv/agent.ts", "other.ts"], "agent.ts"],
    [["deno", "run", "--allow-ffi", "jsr:@bpf/link/cli", "top"], "jsr:@bpf/link/cli"],
    [["deno", "repl"], undefined],
    [["node", "server.mjs"], "server.mjs"],
    [["python3.11", "-u", "/opt/tracer.py"], "tracer.py"],
    [["python3", "-m", "agent"], "agent"],
    [["/usr/bin/python3", "/usr/bin/fail2ban"], "fail2ban"],
    [["bash", "-c", "sleep 1"], undefined],
    [["/usr/sbin/cilium-agent", "run.sh"], undefined],
    [[], undefined],
  ];
  for (const [args, script] of commands) assertEquals(scriptOf(args), script, args.join(" "));
  const process = { kind: "process", pid: 7, command: "deno", fd: 3 } as const;
  const texts = [
    process,
    { ...process, script: "main.ts", unit: "agent.service" },
    { ...process, command: "sshd", unit: "sshd.service" },
    { ...process, container: id, script: "\x1b[2J" },
    { kind: "pin", path: "/sys/fs/bpf/a\nb" } as const,
  ].map(holderText);
  assertEquals(texts, [
    "deno(7)",
    "agent.service main.ts(7)",
    "sshd.service(7)",
    "0123456789ab \\x1b[2J(7)",
    "/sys/fs/bpf/a\\x0ab",
  ]);
});

Deno.test("counts and times in a few characters", () => {
  const counts = [0, 7, 999, 1000, 1234, 99_999, 999_999, 12_345_678n, 2n ** 63n];
  assertEquals(counts.map(countText), ["0", "7", "999", "1.0k", "1.2k", "100k", "1.0M", "12M", "9.2E"]);
  assertEquals([0, 350, 1234, 45_600, 1.5e6, 2.25e9].map(timeText), ["0ns", "350ns", "1.2us", "46us", "1.5ms", "2.3s"]);
});

Deno.test("keys of a terminal: characters, names of others, and no remains of unknown ones", () => {
  assertEquals(keysIn("q/é\x1b[A\x1b[5~\x1bOB\r\x7f"), ["q", "/", "é", "up", "page up", "down", "enter", "backspace"]);
  assertEquals(keysIn("\x1b"), ["escape"]);
  assertEquals(keysIn("\x03\x1b[15~\x00x"), ["interrupt", "x"]);
});

/** A row of a live screen. */
function row(id: number, where: string, load?: number): Row {
  const item = {
    info: { id, type: "tcx", programId: id, attached: true, ifindex: 1, attachType: "tcx_ingress" } as const,
    programName: `program_${id}`,
    deviceName: undefined,
    cgroupPath: undefined,
    where,
    runs: undefined,
    held: { holders: [{ kind: "pin", path: "/sys/fs/bpf/x" } as const], partial: false },
  };
  return { item, order: "", rate: load === undefined ? undefined : { perSecond: 1000 * load, load } };
}

Deno.test("top: keys sort, filter, scroll and quit", () => {
  const rows = [row(2, "b"), row(1, "c", 0.5), row(3, "a", 0.25)];
  const choice = new Choice("l");
  const ids = () => choice.choose(rows).map(({ item }) => item.info.id);
  const press = (...keys: string[]) => keys.map((key) => choice.press(key, 10)).at(-1);
  assertEquals(ids(), [1, 3, 2]);
  press("w");
  assertEquals(ids(), [3, 2, 1]);
  press("i");
  assertEquals(ids(), [1, 2, 3]);
  press("p");
  const unnamed = { ...rows[0]!, item: { ...rows[0]!.item, programName: "" } };
  assertEquals(choice.choose([unnamed, ...rows.slice(1)]).map(({ item }) => item.info.id), [1, 3, 2]);
  press("i");
  press(..."/PROGRAM_3q");
  assertEquals([choice.filter, choice.isTyping, ids()], ["PROGRAM_3q", true, []]); // q is a letter there
  press("backspace", "enter");
  assertEquals([choice.filter, choice.isTyping, ids()], ["PROGRAM_3", false, [3]]);
  press("escape");
  assertEquals(ids(), [1, 2, 3]);
  press("page down", "down", "up", "up");
  assertEquals(choice.first, 9);
  press("home");
  assertEquals([choice.first, press("q"), press("interrupt"), press("s"), press("x")], [
    0,
    "quit",
    "quit",
    "count",
    undefined,
  ]);
  press("/");
  assertEquals(press("interrupt"), "quit");
});

Deno.test("top: a column for what is known, and rates within the width", () => {
  const rows = [row(1, "a".repeat(90), 0.5), { ...row(2, "b"), order: "2/3" }];
  const [narrow, line] = rowsTable(rows, true, 80);
  assertEquals(narrow!.split(/ +/), ["ID", "HOOK", "ORDER", "PROGRAM", "RUNS/S", "LOAD", "HELD", "BY"]);
  assert(line!.includes("program_1") && line!.length <= 80, line);
  const [titles, first, second] = rowsTable(rows, true, 110);
  assertEquals(titles!.split(/ +/), ["ID", "TYPE", "WHERE", "ORDER", "PROGRAM", "RUNS/S", "LOAD", "HELD", "BY"]);
  assert(first!.includes("500") && first!.includes("50.0%") && first!.length <= 110, first);
  assertEquals(second!.split(/ +/).slice(0, 6), ["2", "tcx", "b", "2/3", "2", "program_2"]);
  assertEquals(rowsTable([rows[0]!], false)[0]!.split(/ +/), ["ID", "TYPE", "WHERE", "PROGRAM", "HELD", "BY"]);
});

Deno.test("rates are what was counted between two looks", () => {
  const rates = new Rates(), counts = new Map([[1, { count: 100n, timeNs: 5n }]]);
  rates.sample([1, 2], 1000, (id) => counts.get(id));
  assertEquals([rates.of(1), rates.of(2), rates.of(undefined)], [undefined, undefined, undefined]);
  counts.set(1, { count: 300n, timeNs: 1_000_000_005n }).set(2, { count: 1000n, timeNs: 9n });
  rates.sample([1, 1, 2], 3000, (id) => counts.get(id));
  assertEquals(rates.of(1), { perSecond: 100, load: 0.5 });
  assertEquals(rates.of(2), undefined); // it ran before anybody looked
  rates.sample([2], 4000, (id) => counts.get(id));
  assertEquals([rates.of(1), rates.of(2)], [undefined, { perSecond: 0, load: 0 }]);
});

Deno.test("a tree joins its lines", () => {
  const leaf = (text: string) => ({ text, below: [] });
  assertEquals(treeLines([{ text: "a", below: [leaf("b"), leaf("c")] }, { text: "d", below: [leaf("e")] }]), [
    "├─ a",
    "│  ├─ b",
    "│  └─ c",
    "└─ d",
    "   └─ e",
  ]);
});

Deno.test("help and version, for all and for each command", async () => {
  const { version } = JSON.parse(Deno.readTextFileSync(new URL("../../deno.json", import.meta.url)));
  assertEquals(await bpflink(["--version"]), { code: 0, output: `bpflink ${version}\n`, errors: "" });
  const help = await run(["--help"]);
  assertEquals([help.code, help.errors], [0, ""]);
  const names = [...help.output.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name!);
  assertEquals(names, [
    "list",
    "show",
    "tree",
    "top",
    "watch",
    "hook",
    "probe",
    "detach",
    "pin",
    "unpin",
    "update",
    "load",
    "run",
    "gen",
    "agent",
    "completions",
    "man",
  ]);
  const helps = await Array.fromAsync(names, (name) => run([name, "--help"]));
  helps.forEach(({ code, output, errors }, i) => {
    assertEquals([code, errors], [0, ""]);
    assert(output.includes(`usage: bpflink ${names[i]}`), output);
  });
  for (const { output } of [help, ...helps]) {
    assertEquals(output.split("\n").filter((line) => line.length > 80), []);
  }
});

Deno.test("commands that are not asked for are not loaded", () => {
  const source = Deno.readTextFileSync(new URL("../../lib/cli/main.ts", import.meta.url));
  const loaded = source.matchAll(/^(?:import|export) \{[^}]*\} from "\.\/(\w+)\.ts";/gm);
  assertEquals(Array.from(loaded, ([, name]) => name), ["arguments", "command"]);
});

/** Whether a command is there; what is not cannot check anything here. */
function isThere(command: string): boolean {
  return new Deno.Command("sh", { args: ["-c", `command -v ${command} >/dev/null`] }).outputSync().success;
}

async function shellOutput(command: string, args: readonly string[], input: string): Promise<string> {
  const child = new Deno.Command(command, { args: [...args], stdin: "piped", stdout: "piped", stderr: "piped" })
    .spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  return new TextDecoder().decode(stdout).trimEnd();
}

Deno.test({
  name: "bash completes commands, options and their values",
  ignore: !isThere("bash"),
  async fn(): Promise<void> {
    const { output: script } = await run(["completions", "bash"]);
    const completed: [line: string[], words: string][] = [
      [["li"], "list"],
      [["list", "--ty"], "--type"],
      [["list", "--type", "uprobe_"], "uprobe_multi"],
      [["watch", "--source", ""], "iterator syscall proc"],
      [["top", "--sort", "ru"], "runs"],
      [["hook", "sock"], "sockmap"],
      [["probe", "kprobe_"], "kprobe_multi"],
      [["help", "comp"], "completions"],
      [["completions", "z"], "zsh"],
      [["detach", "7", "--"], "--yes --json --help"],
      [["list", "--cgroup", "/sys"], ""], // files, which bash itself knows
    ];
    for (const [line, words] of completed) {
      const text = `${script}\nCOMP_WORDS=(bpflink ${line.map((word) => `'${word}'`).join(" ")})\n` +
        `COMP_CWORD=${line.length}\n_bpflink\necho "\${COMPREPLY[*]}"\n`;
      assertEquals(await shellOutput("bash", ["-s"], text), words, line.join(" "));
    }
  },
});

Deno.test("the scripts of zsh and fish, and the manual page, have every command and option", async () => {
  const names = ["list", "show", "tree", "top", "watch", "hook", "probe", "detach", "pin", "unpin", "update", "load"];
  for (const args of [["completions", "bash"], ["completions", "zsh"], ["completions", "fish"], ["man"]]) {
    const { code, output } = await run(args);
    assertEquals(code, 0);
    for (const name of names) assert(new RegExp(`\\b${name}\\b`).test(output), `${args.join(" ")}: ${name}`);
    const text = output.replaceAll("\\-", "-");
    for (const option of ["type", "interval", "stats", "expected", "yes", "netns", "attach"]) {
      assert(text.includes(`--${option}`) || text.includes(`-l ${option}`), `${args.join(" ")}: --${option}`);
    }
  }
  const { code, errors } = await run(["completions", "tcsh"]);
  assertEquals([code, errors.split("\n")[0]], [2, 'bpflink: SHELL must be one of bash, zsh, fish, not "tcsh"']);
  const { output: page } = await run(["man"]);
  assertEquals(page.match(/^[.'](?!TH |SH |SS |PP$|TP$|nf$|fi$|B |BR ).*/gm), null); // no other commands of the typesetter
  for (const [shell, check] of [["zsh", "-n"], ["fish", "--no-execute"]] as const) {
    if (isThere(shell)) await shellOutput(shell, [check], (await run(["completions", shell])).output);
  }
});

Deno.test("options stand anywhere, with their value or after =, and -- ends them", () => {
  const options = { type: { type: "string", multiple: true }, json: { type: "boolean", short: "j" } } as const;
  assertEquals(parseArguments(["a", "--type=x=y", "-j", "--type", "z", "--", "--json"], options), {
    values: { type: ["x=y", "z"], json: true },
    positionals: ["a", "--json"],
  });
  assertEquals(parseArguments(["-", "--type=-1"], options), { values: { type: ["-1"] }, positionals: ["-"] });
});

Deno.test("a wrong command line: status 2, the reason on stderr, nothing on stdout", async () => {
  const wrong: [args: string[], reason: string][] = [
    [[], "a command is missing"],
    [["lisst"], 'no command "lisst"; did you mean list?'],
    [["version"], 'no command "version"; did you mean --version?'],
    [["xdp"], 'no command "xdp"'],
    [["list", "--colour"], "no option --colour"],
    [["list", "--tpye", "xdp"], "no option --tpye; did you mean --type?"],
    [["list", "--type"], "--type takes a value"],
    [["list", "--type", "--pid"], "--type takes a value"],
    [["list", "--json=yes"], "--json takes no value"],
    [["list", "-x"], "no option -x"],
    [["list", "7"], 'list takes options only, not "7"'],
    [["man", "7"], 'man takes no arguments, not "7"'],
    [["show"], "the arguments of show are ID|PIN"],
    [["list", "--type", "tpc"], "--type must be one of"],
    [["list", "--type", "xpd"], 'not "xpd"; did you mean xdp?'],
    [["list", "--type", "uprobe"], "--type takes types of links: those to uprobe targets are perf_event"],
    [["top", "--sort", "laod"], "did you mean load?"],
    [["top", "--interval", "0"], "--interval must be at least 1"],
    [["watch", "--interval", "0"], "--interval must be at least 1"],
    [["probe", "uprobes"], "did you mean uprobe?"],
    [["completions", "fihs"], 'SHELL must be one of bash, zsh, fish, not "fihs"; did you mean fish?'],
    [["tree", "--source", "netlink"], "--source must be one of iterator, syscall, proc"],
    [["list", "--pid", "one"], "--pid must be a number"],
    [["watch", "--interval", "1s"], "--interval must be a number"],
    [["hook", "tcx", "lo"], "hook tcx takes DEVICE ingress|egress"],
    [["hook", "lirc", "lo"], "TYPE must be one of"],
    [["hook", "tcx", "lo", "ingres"], 'PLACE must be one of ingress, egress, not "ingres"; did you mean ingress?'],
    [["hook", "cgroup", "/a", "inet_egres"], "did you mean inet_egress?"],
    [["pin", "1".repeat(11), "path"], "ID must be a number"],
  ];
  for (const [args, reason] of wrong) {
    const { code, output, errors } = await run(args);
    assertEquals([code, output], [2, ""], errors);
    const [message, hint] = errors.split("\n");
    assert(message!.startsWith("bpflink: ") && message!.includes(reason), errors);
    const isCommand = !["", "lisst", "version", "xdp"].includes(args[0] ?? "");
    assertEquals(
      hint,
      `  hint: ${isCommand ? `bpflink help ${args[0]} lists its arguments` : "bpflink --help lists the commands"}`,
    );
  }
  const { code, output, errors } = await run(["lisst", "--json"]);
  assertEquals([code, output], [2, ""]);
  const { error } = JSON.parse(errors);
  assertEquals([error.status, error.message], [2, 'there is no command "lisst"; did you mean list?']);
});

Deno.test("the status stays if nobody reads the reason", async () => {
  for (const args of [["lisst"], ["lisst", "--json"]]) {
    const child = startBpflink(args);
    await Promise.all([child.stdout.cancel(), child.stderr.cancel()]);
    assertEquals((await child.status).code, 2);
  }
});

/** Runs it in this process, which it asks for nothing then, and keeps what it writes. */
async function run(args: readonly string[]): Promise<Outcome> {
  const texts = [Deno.stdout, Deno.stderr].map((stream) => {
    const decoder = new TextDecoder(), kept = { text: "", restore: () => Reflect.deleteProperty(stream, "writeSync") };
    Object.defineProperty(stream, "writeSync", {
      configurable: true,
      value: (bytes: Uint8Array) => {
        kept.text += decoder.decode(bytes, { stream: true });
        return bytes.length;
      },
    });
    return kept;
  });
  try {
    const code = await main(args);
    return { code, output: texts[0]!.text, errors: texts[1]!.text };
  } finally {
    for (const { restore } of texts) restore();
  }
}
