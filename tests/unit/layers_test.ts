/**
 * The laws of the house, which `lib` promises: who may import whom, and where a link type may be named.
 *
 * What does not keep a law is in a list beside it, by name: a new offence fails, and so does an entry that is not
 * needed any more.
 */
import { assertEquals } from "@std/assert";
import { ATTACH_TYPES, LINK_TYPES, MAP_TYPES, PROGRAM_TYPES } from "../../lib/uapi/constants.ts";
import { TARGETS } from "./targets.ts";

const ROOT = new URL("../../", import.meta.url);

/** From the bottom up; a file belongs to the first row that matches, and may import its own row and those above. */
const LAYERS: readonly RegExp[] = [
  /^lib\/(uapi\/.*|check)\.ts$/,
  /^lib\/error\.ts$/,
  /^lib\/(refusal|wait|ffi\/.*)\.ts$/,
  /^lib\/os\//,
  /^lib\/sys\/type\//,
  /^lib\/sys\//,
  /^lib\/(handle\/.*|inspect)\.ts$/,
  /^lib\/(btf|listing)\//,
  /^lib\/(ring|program|map)\.ts$/,
  /^lib\/kind\//,
  /^lib\/(links|watch|holders|probe|names|describe)\.ts$/,
  /^lib\/(group|ensure_pinned|update)\.ts$/,
  /^lib\/link\.ts$/,
  /^lib\/hooks?\.ts$/,
  /^lib\/cli\//,
  /^mod\.ts$/,
];

/** Types alone, and only where the public contract wants it: a link's place may be said by another link. */
const UPWARD: readonly string[] = [
  "lib/kind/position.ts imports type lib/link.ts",
];

/** What is to go. */
const STILL_UPWARD: readonly string[] = [
  "lib/btf/load_target.ts imports type lib/program.ts",
  "lib/ensure_pinned.ts imports type lib/link.ts",
  "lib/group.ts imports type lib/link.ts",
  "lib/kind/attach.ts imports type lib/link.ts",
];

const files = ["mod.ts", ...sources("lib")];
const valueImports = new Map(files.map((file) => [file, importsOf(file).filter(({ isType }) => !isType)]));

Deno.test("every file of lib has a layer", () => {
  assertEquals(files.filter((file) => layer(file) < 0), []);
});

Deno.test("nothing imports upward, neither values nor types", () => {
  const upward = files.flatMap((file) =>
    importsOf(file).filter(({ path }) => layer(path) > layer(file))
      .map(({ path, isType }) => `${file} imports ${isType ? "type " : ""}${path}`)
  );
  assertEquals([...new Set(upward)].sort(), [...UPWARD, ...STILL_UPWARD].sort());
});

Deno.test("no value import is cyclic", () => {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) throw new Error([...path.slice(start), file].join(" -> "));
    if (done.has(file)) return;
    for (const { path: other } of valueImports.get(file) ?? []) visit(other, [...path, file]);
    done.add(file);
  };
  files.forEach((file) => visit(file, []));
});

// ---- where a type is named

/** Where what is known of a link type stands: its own files, and the numbers and names of the kernel. */
const HOME = /^lib\/(sys\/type|kind|uapi)\//;

/** Names that mean something else too where they stand, for good. */
const OTHER_MEANINGS: Readonly<Record<string, readonly string[]>> = {
  "lib/link.ts": ["iter", "netns"], // whose links can be read; a field of targets
  "lib/listing/iterator.ts": ["tracing"], // a type of programs
  "lib/listing/references.ts": ["tracing"], // likewise
  "lib/map.ts": ["sockmap", "struct_ops"], // types of maps
  "lib/program.ts": ["xdp"], // a type of programs and their attach type
  "lib/sys/diagnose.ts": [
    "kprobe",
    "perf_event",
    "raw_tracepoint",
    "sockmap",
    "struct_ops",
    "tracepoint",
    "tracing",
  ], // types of programs and maps
  "lib/sys/link_create.ts": ["netns"], // an option
  "lib/sys/perf_event.ts": ["kprobe", "uprobe"], // kinds of events
  "lib/sys/prog_query.ts": ["netns"], // an option
};

/** What is to go: mechanisms that still name types. */
const STILL_NAMED: Readonly<Record<string, readonly string[]>> = {
  "lib/cli/change.ts": ["struct_ops"],
  "lib/cli/hook.ts": ["cgroup", "netkit", "netns", "sockmap", "tcx", "xdp"],
  "lib/cli/item.ts": [
    "cgroup",
    "iter",
    "kprobe",
    "kprobe_multi",
    "netfilter",
    "netkit",
    "netns",
    "perf_event",
    "raw_tracepoint",
    "sockmap",
    "struct_ops",
    "tcx",
    "tracepoint",
    "tracing",
    "tracing_multi",
    "uprobe",
    "uprobe_multi",
    "xdp",
  ],
  "lib/cli/names.ts": ["tcx", "xdp"],
  "lib/cli/places.ts": ["cgroup", "netkit", "netns", "tcx", "xdp"],
  "lib/cli/tree.ts": ["cgroup", "netfilter", "netkit", "netns", "tcx", "xdp"],
  "lib/describe.ts": ["xdp"],
  "lib/ensure_pinned.ts": ["struct_ops"],
  "lib/hook.ts": ["cgroup", "netkit", "netns", "sockmap", "tcx", "xdp"],
  "lib/probe.ts": [
    "kprobe",
    "kprobe_multi",
    "netfilter",
    "netkit",
    "perf_event",
    "raw_tracepoint",
    "struct_ops",
    "tcx",
    "tp_btf",
    "tracepoint",
    "tracing",
    "uprobe",
    "uprobe_multi",
    "xdp",
  ],
  "lib/refusal.ts": ["netkit", "raw_tracepoint", "tcx", "uprobe", "uprobe_multi"],
  "lib/sys/diagnose.ts": ["tp_btf"],
  "lib/sys/link.ts": ["cgroup", "iter", "netkit", "netns", "sockmap", "struct_ops", "tcx", "xdp"],
  "lib/sys/link_create.ts": ["uprobe_multi"],
  "lib/update.ts": ["cgroup", "struct_ops"],
};

const NAMES = new Set<string>([...LINK_TYPES, ...Object.keys(TARGETS)]);
NAMES.delete("unknown");
/** Names that are link types and nothing else: they may not even be keys, or words of a message. */
const UNMISTAKABLE = [...NAMES.difference(new Set<string>([...PROGRAM_TYPES, ...MAP_TYPES, ...ATTACH_TYPES]))]
  .filter((name) => !["cgroup", "netns", "iter"].includes(name));

Deno.test("a link type is named in its own files alone", () => {
  const named = (file: string) => {
    const text = code(file).replace(/^(?:import|export)\b[^;]*? from "[^"]*";/gm, "");
    const literals = [...text.matchAll(/(["'`])(\w+)\1/g)].map(([, , word]) => word!).filter((word) => NAMES.has(word));
    const words = UNMISTAKABLE.filter((name) => new RegExp(`(?<![\\w/])${name}(?!\\w)`).test(text));
    return [...new Set([...literals, ...words])].sort();
  };
  const found = files.filter((file) => !HOME.test(file)).map((file) => [file, named(file)] as const)
    .filter(([, names]) => names.length > 0);
  const listed = Object.fromEntries(
    [...new Set([...Object.keys(OTHER_MEANINGS), ...Object.keys(STILL_NAMED)])].sort()
      .map((file) => [file, [...OTHER_MEANINGS[file] ?? [], ...STILL_NAMED[file] ?? []].sort()]),
  );
  assertEquals(Object.fromEntries(found), listed);
});

// ---- what stands where

/** Files of lib/sys that are no calls of `@bpf/link/sys`: what several of its files share. */
const SHARED = ["lib/sys/diagnose.ts", "lib/sys/map_type.ts", "lib/sys/mod.ts", "lib/sys/object_type.ts"];

Deno.test("every file of lib/sys is exported by lib/sys/mod.ts", () => {
  const exported = new Set(importsOf("lib/sys/mod.ts").map(({ path }) => path));
  const calls = files.filter((file) => /^lib\/sys\/\w+\.ts$/.test(file) && !SHARED.includes(file));
  assertEquals(calls.filter((file) => !exported.has(file)), []);
});

Deno.test("lib asks Deno for nothing that needs a permission but --allow-ffi, and that in lib/ffi alone", () => {
  // permissions and env: only where the answer needs no prompt; customInspect is the name of a symbol
  const allowed = ["errors", "inspect", "build", "permissions", "env", "pid", "customInspect"];
  const native = ["dlopen", "DynamicLibrary"];
  const found = files.flatMap((file) =>
    [...code(file).matchAll(/Deno\.(\w+)/g)].filter(([, name]) =>
      file.startsWith("lib/cli/")
        ? native.includes(name!)
        : ![...allowed, ...file.startsWith("lib/ffi/") ? native : []].includes(name!)
    ).map(([use]) => `${file}: ${use}`)
  );
  assertEquals(found, []);
});

Deno.test("nothing that is published imports a package", () => {
  const packages = files.filter((file) => !file.startsWith("lib/cli/")).flatMap((file) =>
    [...text(file).matchAll(/^(?:import|export)\b[^;]*?from "((?:npm|jsr|node|https?):[^"]*|@[^"]*)"/gm)].map((match) =>
      `${file}: ${match[1]}`
    )
  );
  assertEquals(packages, []);
});

Deno.test("fixtures import no test", () => {
  const found = sources("tests/fixture").flatMap((file) =>
    importsOf(file).filter(({ path }) => /^tests\/(?!fixture\/)/.test(path)).map(({ path }) => `${file}: ${path}`)
  );
  assertEquals(found, []);
});

Deno.test("Rust, and so what is unsafe, stands in ffi/*/src alone", () => {
  const elsewhere = sources("", ".rs").filter((file) => !/^ffi\/\w+\/src\//.test(file));
  assertEquals(elsewhere.filter((file) => /\bunsafe\b/.test(text(file))), []);
});

function layer(file: string): number {
  return LAYERS.findIndex((pattern) => pattern.test(file));
}

interface Import {
  readonly path: string;
  /** Nothing but types is imported. */
  readonly isType: boolean;
}

/** What a file imports from other files of its own; line starts only, so that examples in comments do not count. */
function importsOf(file: string): Import[] {
  return [...text(file).matchAll(/^(?:import|export) (type )?([^;"]*)from "(\.[^"]*)";/gm)].map(
    ([, type, names, path]) => ({
      path: new URL(path!, new URL(file, ROOT)).pathname.slice(ROOT.pathname.length),
      isType: type !== undefined || /^\{\s*(type [\w\s]+,?\s*)+\}\s*$/.test(names!),
    }),
  );
}

function code(file: string): string {
  return text(file).replace(/\/\*[\s\S]*?\*\/|(?<![:"'`\w])\/\/.*$/gm, "");
}

function text(file: string): string {
  return Deno.readTextFileSync(new URL(file, ROOT));
}

/** The files below a directory, but for what is built or brought there. */
function sources(directory: string, ending = ".ts"): string[] {
  return [...Deno.readDirSync(new URL(directory === "" ? "." : directory, ROOT))].flatMap(({ name, isDirectory }) => {
    if (/^(\.|target$|node_modules$)/.test(name)) return [];
    const path = directory === "" ? name : `${directory}/${name}`;
    return isDirectory ? sources(path, ending) : path.endsWith(ending) ? [path] : [];
  }).sort();
}
