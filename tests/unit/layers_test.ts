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
  /^lib\/(uapi\/.*|check|complaint|json|lazy)\.ts$/,
  /^lib\/error\.ts$/,
  /^lib\/(refusal|wait|ffi\/.*)\.ts$/,
  /^lib\/os\//,
  /^lib\/sys\/type\//,
  /^lib\/sys\//,
  /^lib\/handle\//,
  /^lib\/(btf|listing)\//,
  /^lib\/(poller|ring|perf_buffer|records|program|map)\.ts$/,
  /^lib\/kind\//,
  /^lib\/(links|watch|holders|probe|names|full_names|runs|cgroup)\.ts$/,
  /^lib\/(group|ensure_pinned)\.ts$/,
  /^lib\/link\.ts$/,
  /^lib\/hooks?\.ts$/,
  /^lib\/object\//,
  /^lib\/otel\//,
  /^lib\/cli\//,
  /^mod\.ts$/,
];

/** Types alone, and only where the public contract wants it: what names a link, and what holds some. */
const UPWARD: readonly string[] = [
  "lib/ensure_pinned.ts imports type lib/link.ts",
  "lib/group.ts imports type lib/link.ts",
  "lib/kind/position.ts imports type lib/link.ts",
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
  assertEquals([...new Set(upward)].sort(), UPWARD);
});

Deno.test("the command imports root modules, and of others only what the package exports", () => {
  const exported = [
    "lib/kind/mod.ts",
    "lib/kind/kind.ts",
    "lib/uapi/constants.ts",
    "lib/object/mod.ts",
    "lib/otel/mod.ts",
  ];
  const deeper = files.filter((file) => file.startsWith("lib/cli/")).flatMap((file) =>
    importsOf(file).map(({ path }) => path)
      .filter((path) => !/^lib\/(cli\/)?[a-z_]+\.ts$/.test(path) && !exported.includes(path))
      .map((path) => `${file} imports ${path}`)
  );
  assertEquals(deeper, []);
});

Deno.test("objects import root modules, their native library, and what root modules are made of too", () => {
  const deeper = /^lib\/(uapi|os|handle|kind|ffi\/object|object)\//; // and of sys nothing but values of per-CPU maps
  const others = files.filter((file) => file.startsWith("lib/object/")).flatMap((file) =>
    importsOf(file).map(({ path }) => path)
      .filter((path) => !/^lib\/[a-z_]+\.ts$/.test(path) && !deeper.test(path) && path !== "lib/sys/elements.ts")
      .map((path) => `${file} imports ${path}`)
  );
  assertEquals(others, []);
});

Deno.test("telemetry imports root modules, and files to be read", () => {
  const deeper = files.filter((file) => file.startsWith("lib/otel/")).flatMap((file) =>
    importsOf(file).map(({ path }) => path)
      .filter((path) => !/^lib\/(otel\/)?[a-z_]+\.ts$/.test(path))
      .filter((path) => !["lib/kind/mod.ts", "lib/os/files.ts", "lib/uapi/constants.ts"].includes(path))
      .map((path) => `${file} imports ${path}`)
  );
  assertEquals(deeper, []);
});

Deno.test("nothing else imports objects: the core stays as it is", () => {
  const ours = /^lib\/(ffi\/)?object\//;
  const found = files.filter((file) => !ours.test(file) && !file.startsWith("lib/cli/")).flatMap((file) =>
    importsOf(file).filter(({ path }) => ours.test(path)).map(({ path }) => `${file} imports ${path}`)
  );
  assertEquals(found, []);
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

/** Where what is known of a link type stands: its own files, the numbers and names of the kernel, and libbpf's names. */
const HOME = /^lib\/(sys\/type\/|kind\/|uapi\/|object\/sections\.ts$)/;

/** Names that mean something else too where they stand. */
const OTHER_MEANINGS: Readonly<Record<string, readonly string[]>> = {
  "lib/hooks.ts": ["cgroup", "netns"], // what a hook is at
  "lib/link.ts": ["iter"], // whose links can be read
  "lib/listing/iterator.ts": ["tracing"], // a type of programs
  "lib/listing/references.ts": ["tracing"], // likewise
  "lib/map.ts": ["struct_ops"], // a type of maps
  "lib/object/attach.ts": ["struct_ops", "uprobe_multi"], // what libbpf itself attaches
  "lib/object/generate.ts": ["struct_ops"], // a type of maps, whose values are the kernel's
  "lib/object/refusal.ts": ["struct_ops"], // a section, in libbpf's words
  "lib/object/typed_map.ts": ["struct_ops"], // a type of maps, whose values libbpf makes
  "lib/os/proc.ts": ["cgroup"], // a file of /proc/PID
  "lib/program.ts": ["xdp"], // a type of programs and their attach type
  "lib/sys/link_create.ts": ["netns"], // an option
  "lib/sys/perf_event.ts": ["kprobe", "uprobe", "uprobe_multi"], // kinds of events; what to use instead of one
  "lib/sys/prog_query.ts": ["netkit", "netns", "tcx"], // an option; which hooks can be queried, in words
  "lib/sys/program.ts": ["kprobe", "perf_event", "raw_tracepoint", "struct_ops", "tp_btf", "tracepoint", "tracing"], // types of programs
  "lib/sys/raw_tracepoint.ts": ["raw_tracepoint"], // what to use instead, in words
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
  assertEquals(Object.fromEntries(found), OTHER_MEANINGS);
});

// ---- what stands where

Deno.test("every file of lib/sys is exported by lib/sys/mod.ts", () => {
  const exported = new Set(importsOf("lib/sys/mod.ts").map(({ path }) => path));
  const calls = files.filter((file) => /^lib\/sys\/\w+\.ts$/.test(file) && file !== "lib/sys/mod.ts");
  assertEquals(calls.filter((file) => !exported.has(file)), []);
});

Deno.test("lib asks Deno for nothing that needs a permission but --allow-ffi, and that in lib/ffi alone", () => {
  // permissions and env: only where the answer needs no prompt; customInspect is the name of a symbol;
  // stdin and stderr: whether there is somebody to ask
  const allowed = [
    "errors",
    "inspect",
    "build",
    "version",
    "permissions",
    "env",
    "pid",
    "customInspect",
    "stdin",
    "stderr",
    "telemetry",
  ];
  const native = ["dlopen", "DynamicLibrary", "ForeignFunction", "ForeignLibraryInterface"];
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
