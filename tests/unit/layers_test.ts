/** The order of the layers, which `lib` promises: nothing imports upward except types, and no value import is cyclic. */
import { assertEquals } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

/** From the bottom up; a file belongs to the first row that matches. */
const LAYERS: readonly RegExp[] = [
  /^lib\/(uapi\/.*|check)\.ts$/,
  /^lib\/(error|refusal)\.ts$/,
  /^lib\/wait\.ts$/,
  /^lib\/ffi\//,
  /^lib\/os\//,
  /^lib\/sys\/type\//,
  /^lib\/sys\//,
  /^lib\/(handle|btf|listing|inspect)\b/,
  /^lib\/(ring|program|map)\.ts$/,
  /^lib\/kind\//,
  /^lib\/links\.ts$/,
  /^lib\/[a-z_]+\.ts$/,
  /^lib\/cli\//,
  /^mod\.ts$/,
];

const files = ["mod.ts", ...sources("lib")];
const valueImports = new Map(files.map((file) => [file, importsOf(file)]));

Deno.test("every file of lib has a layer", () => {
  assertEquals(files.filter((file) => layer(file) < 0), []);
});

Deno.test("nothing imports upward except types", () => {
  const upward = [...valueImports].flatMap(([file, imports]) =>
    imports.filter((other) => layer(other) > layer(file)).map((other) => `${file} imports ${other}`)
  );
  assertEquals(upward, []);
});

Deno.test("no value import is cyclic", () => {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) throw new Error([...path.slice(start), file].join(" -> "));
    if (done.has(file)) return;
    for (const other of valueImports.get(file) ?? []) visit(other, [...path, file]);
    done.add(file);
  };
  files.forEach((file) => visit(file, []));
});

Deno.test("lib asks Deno for nothing that needs a permission but --allow-ffi", () => {
  // permissions and env: only where the answer needs no prompt; customInspect is the name of a symbol
  const allowed = ["errors", "inspect", "build", "permissions", "env", "pid", "customInspect"];
  const found = files.filter((file) => !file.startsWith("lib/cli/")).flatMap((file) => {
    const also = file.startsWith("lib/ffi/") ? ["dlopen", "DynamicLibrary"] : [];
    return [...code(file).matchAll(/Deno\.(\w+)/g)]
      .filter(([, name]) => ![...allowed, ...also].includes(name!))
      .map(([use]) => `${file}: ${use}`);
  });
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

function layer(file: string): number {
  return LAYERS.findIndex((pattern) => pattern.test(file));
}

/** The files whose values a file imports; line starts only, so that examples in comments do not count. */
function importsOf(file: string): string[] {
  return [...text(file).matchAll(/^(?:import|export) (?!type )([^;"]*)from "(\.[^"]*)";/gm)]
    .filter(([, names]) => !/^\{\s*(type [\w\s]+,?\s*)*\}\s*$/.test(names!))
    .map(([, , path]) => new URL(path!, new URL(file, ROOT)).pathname.slice(ROOT.pathname.length));
}

function code(file: string): string {
  return text(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
}

function text(file: string): string {
  return Deno.readTextFileSync(new URL(file, ROOT));
}

function sources(directory: string): string[] {
  return [...Deno.readDirSync(new URL(directory, ROOT))].flatMap(({ name, isDirectory }) => {
    const path = `${directory}/${name}`;
    return isDirectory ? sources(path) : path.endsWith(".ts") ? [path] : [];
  }).sort();
}
