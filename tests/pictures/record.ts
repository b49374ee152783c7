/**
 * Takes the pictures of README: `deno run -A tests/pictures/record.ts`, as root. Where others have links too, it takes
 * each picture again until none is to be seen. `record.ts top-80` takes that one alone.
 *
 * `bpflink` runs on a terminal (`script` of util-linux) of 80 and of 200 columns, and what that shows becomes SVG in
 * tests/pictures. The scene is made for it, in network and mount namespaces and cgroups of its own, and is gone at the
 * end. Numbers of links, programs and processes become others of as many digits, so that two runs make the same pictures
 * of `list` and `tree`; what `top` measures is of the moment.
 *
 * `record.ts --try COMMAND` runs a shell's command in the scene instead, to look around.
 */
import { Link } from "../../mod.ts";
import { addPair, deleteInterface, setUp } from "../fixture/place/rtnetlink.ts";
import { commandLine } from "../fixture/process/bpflink.ts";
import { inNamespaces, mountPoints } from "../fixture/run/own.ts";
import { type Cell, Screen } from "./screen.ts";
import { toSvg } from "./svg.ts";

const HERE = new URL(".", import.meta.url).pathname, INSIDE = "--inside";

/** What is shown: a file, what is typed, how wide the terminal is, and the keys that are pressed. */
const PICTURES: readonly { file: string; args: string[]; columns: number; rows?: number; keys?: string[] }[] = [
  { file: "list-80", args: ["list"], columns: 80 },
  { file: "list-200", args: ["list"], columns: 200 },
  { file: "tree-80", args: ["tree"], columns: 80 },
  { file: "tree-200", args: ["tree"], columns: 200 },
  { file: "top-80", args: ["top", "--stats"], columns: 80, rows: 24, keys: ["/.service\r", "q"] },
  { file: "top-200", args: ["top", "--stats"], columns: 200, rows: 24, keys: ["/.service\r", "q"] },
];

const DEVICE = "wan0", PEER = "wan1", ROWS = 60, TAKES = 300;
const ownIds = new Set<number>();
const SERVICES = [
  "shop.slice/shop-frontend.service",
  "shop.slice/shop-backend.service",
  "build.slice/build-runner@1.service",
  "system.slice/firewall.service",
  "system.slice/tracer.service",
];

/** Makes the scene; gone when the stack is disposed of. */
async function makeScene(bpffs: string): Promise<AsyncDisposableStack> {
  await using scene = new AsyncDisposableStack();
  addPair("veth", DEVICE, PEER);
  scene.defer(() => deleteInterface(DEVICE));
  for (const name of [DEVICE, PEER]) setUp(name);
  const [cgroup] = mountPoints("cgroup2"), made: string[] = [];
  scene.defer(() => removeAll(made));
  for (const service of SERVICES) {
    const [slice] = service.split("/");
    for (const path of [`${cgroup}/${slice}`, `${cgroup}/${service}`]) {
      if (exists(path)) continue;
      Deno.mkdirSync(path);
      made.push(path);
    }
  }
  await start(scene, `${cgroup}/system.slice/firewall.service`, "firewall.ts", [DEVICE, PEER, cgroup!, bpffs]);
  await start(scene, `${cgroup}/system.slice/tracer.service`, "tracer.ts", [bpffs]);
  return scene.move();
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** A cgroup is busy for moments after its last process. */
async function removeAll(paths: readonly string[]): Promise<void> {
  for (const path of paths.toReversed()) {
    for (let attempt = 0;; attempt++) {
      try {
        Deno.removeSync(path);
        break;
      } catch (error) {
        if (attempt === 100) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

/** Starts a part of the scene in a cgroup, and waits until it has attached. */
async function start(
  scene: AsyncDisposableStack,
  cgroup: string,
  script: string,
  args: readonly string[],
): Promise<void> {
  const command = [Deno.execPath(), "run", "-A", "--no-config", "--no-check", `${HERE}${script}`, ...args];
  const child = new Deno.Command("sh", {
    args: ["-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', cgroup, ...command],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  scene.defer(async () => {
    await child.stdin.close().catch(() => {});
    await child.status;
  });
  const { value } = await child.stdout.getReader().read();
  if (value === undefined) throw new Error(`${script} ended early`);
  for (const id of new TextDecoder().decode(value).split(" ")) ownIds.add(Number(id));
}

/** Whether others have links at the moment; iterators, with which others look too, are a line that can be left out. */
function isCrowded(): boolean {
  return Link.list().some(({ id, type }) => type !== "iter" && !ownIds.has(id));
}

/** Whether a line shows an iterator. */
function isIterator(line: Screen["lines"][number]): boolean {
  return /\biter bpf_link\b| links {2}/.test(line.map(({ text }) => text).join(""));
}

async function onTerminal({ args, columns, rows = ROWS, keys = [] }: typeof PICTURES[number]): Promise<Screen> {
  const words = commandLine(args).map((word) => `'${word}'`).join(" ");
  const child = new Deno.Command("script", {
    args: ["-qec", `stty cols ${columns} rows ${rows}; ${words}`, "/dev/null"],
    env: { TERM: "xterm-256color", NO_COLOR: "" },
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const screen = new Screen(columns, rows), typing = child.stdin.getWriter();
  const timers = keys.map((each, i) => setTimeout(() => typing.write(new TextEncoder().encode(each)), 2500 * (i + 1)));
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) screen.write(text);
  timers.forEach(clearTimeout);
  await typing.close().catch(() => {});
  await child.status;
  return screen;
}

/** Lines in which numbers of four digits and more are such that follow each other from 1001, 10001 and so on. */
function withoutMoment(lines: Screen["lines"]): Cell[][] {
  const others = new Map<string, string>();
  const otherOf = (number: string) => {
    const alike = [...others.keys()].filter(({ length }) => length === number.length).length;
    others.set(number, others.get(number) ?? String(10 ** (number.length - 1) + alike + 1));
    return others.get(number)!;
  };
  return lines.filter((line) => !isIterator(line)).map((line) => {
    const text = line.map((cell) => cell.text).join("").replace(/\b\d{4,}\b/g, otherOf)
      .replace(/\(\d+(?=…)/g, (cut) => `(${"1".padEnd(cut.length - 1, "0")}`);
    return line.map((cell, i) => ({ ...cell, text: text[i]! }));
  });
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

if (Deno.args[0] !== INSIDE) {
  for (const signal of SIGNALS) Deno.addSignalListener(signal, () => {}); // the one inside cleans up
  const bpffs = "/sys/fs/bpf"; // another one is mounted there in a namespace of mounts
  const [command, ...args] = [
    ...inNamespaces(bpffs),
    ...[Deno.execPath(), "run", "-A", "--no-config", "--no-check", import.meta.url, INSIDE, bpffs, ...Deno.args],
  ];
  const { code } = await new Deno.Command(command!, { args, stdin: "inherit" }).spawn().status;
  Deno.exit(code);
}

const [, bpffs, option, ...words] = Deno.args;
{
  await using scene = await makeScene(bpffs!);
  for (const signal of SIGNALS) {
    Deno.addSignalListener(signal, () => scene.disposeAsync().catch(console.error).finally(() => Deno.exit(130)));
  }
  if (option === "--try") {
    await new Deno.Command("sh", { args: ["-c", words.join(" ")], stdin: "inherit" }).spawn().status;
  } else {
    for (const picture of PICTURES.filter(({ file }) => option === undefined || Deno.args.includes(file))) {
      const { file, args } = picture;
      let screen;
      for (let take = 0; screen === undefined; take++) {
        if (take === TAKES) throw new Error("others have links all the time");
        const before = picture.keys === undefined && isCrowded(),
          taken = before ? undefined : await onTerminal(picture);
        if (before) await new Promise((resolve) => setTimeout(resolve, 300));
        else if (picture.keys !== undefined || !isCrowded()) screen = taken; // the keys choose what is shown
      }
      Deno.writeTextFileSync(
        `${HERE}${file}.svg`,
        toSvg({ columns: screen.columns, lines: withoutMoment(screen.lines) }, `bpflink ${args.join(" ")}`),
      );
      console.log(`${file}.svg`);
    }
  }
}
