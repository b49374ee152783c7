/**
 * Builds what is published, from the sources and nothing else: `deno task stage [FOLDER]`.
 *
 * The sources are many small files for people. Each module costs a consumer's start about as much as reading it does, so
 * the package has a module an entry point, and chunks with what they share, so that a class is one class for all of them.
 * Nothing is minified: names in stack traces are those of the sources. The same sources give the same bytes.
 */
import { basename, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
// named here and not in deno.json, whose packages every task would install first, the demo too
import { build, type BuildOptions, type PluginBuild } from "npm:esbuild@0.28.2";
import { rollup } from "npm:rollup@4.68.8";
import { dts } from "npm:rollup-plugin-dts@6.5.1";
import ts from "npm:typescript@5.9.3";

/** An entry point for the bundler alone. */
const COMMAND = "command";
/**
 * What sources import beside what they need: the bundler makes a file of what some entry points share and others do not,
 * and each file costs a start as much as 100 KB do.
 */
const BESIDE: Readonly<Record<string, readonly string[]>> = {
  "mod.ts": ["./lib/sys/mod.ts", "./lib/uapi/btf.ts"],
  "lib/object/mod.ts": ["../../mod.ts"],
  "lib/otel/mod.ts": ["../../mod.ts"],
  "lib/cli/main.ts": ["../../mod.ts"],
};
/** Modules that are files of their own, for one of them is imported and only when it is needed. */
const APART = ["lib/ffi/object/embedded_x86_64.ts", "lib/ffi/object/embedded_aarch64.ts"];
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** What `deno.json` says of the package. */
interface Config {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, string>>;
}

if (import.meta.main) {
  if (Deno.args.length > 1) {
    console.error("usage: deno task stage [FOLDER]");
    Deno.exit(2);
  }
  const folder = Deno.args[0] ?? "stage";
  for (const file of await stage(folder)) console.log(`${folder}/${file}`);
}

/** Fills a folder, which is made or must be empty, and returns the names of its files. */
export async function stage(folder: string): Promise<string[]> {
  Deno.mkdirSync(folder, { recursive: true });
  if ([...Deno.readDirSync(folder)].length > 0) throw new Error(`${folder} is not empty`);
  const { name, version, license, exports }: Config = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`));
  const modules = Object.entries(exports).map(([at, source]) => [source, at.slice(2) || "mod"] as const).reverse();
  const nameOf = new Map(modules); // of two entry points with one source, the first
  const entries = new Map(Array.from(nameOf, ([source, name]) => [name, source]));
  await bundleCode(entries, folder);
  await bundleTypes(entries, folder);
  restoreNames(folder);
  for (const entry of entries.keys()) nameTypes(`${folder}/${entry}.js`, `./${entry}.d.ts`);
  const staged = Object.fromEntries(Object.entries(exports).map(([at, source]) => [at, `./${nameOf.get(source)}.js`]));
  Deno.writeTextFileSync(
    `${folder}/deno.json`,
    JSON.stringify({ name, version, license, exports: staged }, undefined, 2) + "\n",
  );
  for (const file of ["README.md", "LICENSE"]) Deno.copyFileSync(ROOT + file, `${folder}/${file}`);
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

async function bundleCode(entries: ReadonlyMap<string, string>, folder: string): Promise<void> {
  const common: BuildOptions = {
    absWorkingDir: ROOT,
    outdir: resolve(folder),
    format: "esm",
    platform: "neutral",
    target: "esnext",
    supported: { using: false }, // else runtimes that are too old report a syntax error, and not what they lack
    plugins: [{ name: "sources", setup }],
    logLevel: "warning",
  }; // all in ASCII, or V8 would keep each character in two bytes
  await build({ ...common, entryPoints: APART });
  await build({
    ...common,
    // Deno keeps no compiled code of the module that is run: what the command is made of goes into one that it imports
    entryPoints: { ...Object.fromEntries(entries), [COMMAND]: "lib/cli/main.ts" },
    bundle: true,
    splitting: true,
    external: ["node:*"],
    chunkNames: "shared-[hash]",
  });
  Deno.removeSync(`${folder}/${COMMAND}.js`); // which nothing imports
}

function setup(build: PluginBuild): void {
  build.onLoad({ filter: /\.ts$/ }, load);
  build.onResolve({ filter: /^\./ }, ({ path, kind }) => {
    const name = basename(path);
    return kind === "dynamic-import" && APART.some((apart) => basename(apart) === name)
      ? { path: `./${name.replace(".ts", ".js")}`, external: true }
      : undefined;
  });
}

/**
 * A source without its comments, which are a quarter of it: the types have them, and Deno would read, hash and copy them
 * at each start.
 */
function load({ path }: { path: string }): { contents: string; loader: "js" } {
  const name = relative(ROOT, path), source = Deno.readTextFileSync(path), beside = BESIDE[name] ?? [];
  const imports = beside.map((path) => `import "${path}";\n`).join("");
  const code = imports + (name === "lib/cli/main.ts" ? importingAtOnce(source) : source);
  const compilerOptions = { removeComments: true, target: ts.ScriptTarget.ESNext };
  return { contents: ts.transpileModule(code, { compilerOptions }).outputText, loader: "js" };
}

/** Imports at once what sources import when it is needed: Deno fetches and reads that at every start, file by file. */
function importingAtOnce(source: string): string {
  const imports = new Set<string>();
  const code = source.replaceAll(/import\("\.\/(\w+)\.ts"\)/g, (_, name) => {
    imports.add(`import * as ${name}Module from "./${name}.ts";\n`);
    return `${name}Module`;
  });
  return [...imports, code].join("");
}

async function bundleTypes(entries: ReadonlyMap<string, string>, folder: string): Promise<void> {
  const compilerOptions = { target: ts.ScriptTarget.ESNext, allowImportingTsExtensions: true, types: [] };
  const bundle = await rollup({
    input: Object.fromEntries(Array.from(entries, ([entry, source]) => [entry, join(ROOT, source)])),
    plugins: [dts({ compilerOptions })],
    external: /^node:/,
  });
  const { output } = await bundle.generate({
    entryFileNames: "[name].d.ts",
    chunkFileNames: "types-[hash].d.ts",
    minifyInternalExports: false,
  });
  for (const chunk of output) {
    if (chunk.type !== "chunk") continue;
    const source = entries.get(chunk.name);
    const about = chunk.isEntry && source !== undefined ? moduleComment(source) : "";
    const code = chunk.code.replaceAll(/(["'])(\.\/[\w-]+)\.js\1/g, '"$2.d.ts"')
      .replaceAll(/^( *)get (\w+)(\(\): .*;)\n\1set \2\(value: (.*)\);$/gm, "$1$2: $4;"); // one comment is enough
    Deno.writeTextFileSync(`${folder}/${chunk.fileName}`, about + code);
  }
}

/** The comment with which an entry point begins: that of the module, which the bundler leaves out. */
function moduleComment(source: string): string {
  const [comment] = /^\/\*\*[^]*?@module[^]*?\*\/\n/.exec(Deno.readTextFileSync(join(ROOT, source))) ?? [];
  if (comment === undefined) throw new Error(`${source} does not begin with the comment of its module`);
  return comment;
}

/**
 * Classes that refer to themselves are bundled as `var Link = class _Link`, and stack traces would say `_Link`: inside of
 * the class its own name means the same.
 */
function restoreNames(folder: string): void {
  for (const { name } of Deno.readDirSync(folder)) {
    if (!name.endsWith(".js")) continue;
    const code = Deno.readTextFileSync(`${folder}/${name}`);
    const classes = Array.from(code.matchAll(/^var (\w+) = class _\1\b/gm), ([, own]) => own!);
    const restored = classes.reduce((code, own) => code.replaceAll(new RegExp(`\\b_${own}\\b`, "g"), own), code);
    Deno.writeTextFileSync(`${folder}/${name}`, restored);
  }
}

function nameTypes(file: string, types: string): void {
  Deno.writeTextFileSync(file, `/* @ts-self-types="${types}" */\n${Deno.readTextFileSync(file)}`);
}
