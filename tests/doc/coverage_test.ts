/** Each function, class, method and target of the entry points has an example that shows it. */
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);
const ENTRY_POINTS = ["mod.ts", "lib/object/mod.ts", "lib/otel/mod.ts"];

/** Methods that need no example of their own, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  "[Symbol.dispose]": "the class's example has `using`",
  "[Symbol.asyncDispose]": "the class's example has `await using`, or `using`",
  "[Symbol.iterator]": "the class's example has `for of`",
  "toJSON": "JSON.stringify calls it; toJson() has an example",
};

/** What `deno doc --json` says, as far as it is read here. */
interface Doc {
  nodes: Record<string, { symbols: Documented[] }>;
}

interface Documented {
  name: string;
  declarations: (Commented & {
    kind: string;
    def: { methods?: Member[]; properties?: Property[] };
  })[];
}

interface Commented {
  jsDoc?: { tags?: { kind: string; doc?: string }[] };
}

interface Property {
  name: string;
  tsType?: { repr?: string };
}

interface Member extends Commented {
  name: string;
  kind: string;
}

/** The texts of the examples of a declaration. */
function examplesOf(...of: readonly Commented[]): string[] {
  const tags = of.flatMap(({ jsDoc }) => jsDoc?.tags ?? []);
  return tags.filter(({ kind }) => kind === "example").map(({ doc = "" }) => doc);
}

/** Whether one of the examples has code in which something stands. */
function shows(examples: readonly string[], what: RegExp): boolean {
  return examples.some((text) => text.matchAll(/^```ts.*?\n(.*?)^```/gms).some(([, code]) => what.test(code!)));
}

const symbols = await documented();

async function documented(): Promise<Documented[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", "--no-config", ...ENTRY_POINTS],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const { nodes }: Doc = JSON.parse(new TextDecoder().decode(stdout));
  return Object.values(nodes).flatMap(({ symbols }) => symbols);
}

/** What lacks an example, by name. */
function lacking(symbols: readonly Documented[]): { missing: string[]; count: number } {
  const missing: string[] = [];
  let count = 0;
  const need = (name: string, examples: readonly string[], what: RegExp) => {
    count++;
    if (!shows(examples, what)) missing.push(name);
  };
  for (const { name, declarations } of symbols) {
    const kinds = new Set(declarations.map(({ kind }) => kind));
    const own = examplesOf(...declarations), members = declarations.flatMap(({ def }) => def.methods ?? []);
    if (kinds.has("function")) need(name, own, new RegExp(`\\b${name}\\(`));
    if (kinds.has("class")) need(name, own, /./);
    const isClass = kinds.has("class"), everywhere = [...own, ...examplesOf(...members)];
    for (const method of new Set(members.map(({ name }) => name))) {
      if (method in EXCEPTIONS) continue;
      const these = members.filter(({ name }) => name === method);
      // values are shown beside others; an interface has one example for all that its objects do
      if (these.every(({ kind }) => kind !== "method")) {
        need(`${name}.${method}`, everywhere, new RegExp(`(?<!console)\\.${method}\\b`));
      } else need(`${name}.${method}`, isClass ? examplesOf(...these) : own, new RegExp(`\\.${method}\\(`));
    }
  }
  for (const { name: type, tsType } of targets(symbols)) {
    const target = symbols.find(({ name }) => name === tsType?.repr)!;
    need(target.name, examplesOf(...target.declarations), new RegExp(`\\btype: "${type}"`));
  }
  return { missing, count };
}

/** Each kind of target, with the name of its type. */
function targets(symbols: readonly Documented[]): Property[] {
  return symbols.find(({ name }) => name === "AttachTargets")!.declarations.flatMap(({ def }) => def.properties!);
}

Deno.test("each function, class, method and target of the entry points has an example that shows it", () => {
  const { missing, count } = lacking(symbols);
  assert(count > 150, `the documentation is not read: ${count}`);
  assert(targets(symbols).length >= 17, "the targets are not found");
  assertEquals(missing, []);
});

Deno.test("an example that is not run says which test runs the same", () => {
  const all = symbols.flatMap(({ name, declarations }) =>
    examplesOf(...declarations, ...declarations.flatMap(({ def }) => def.methods ?? [])).map((text) => ({ name, text }))
  );
  const ignored = all.filter(({ text }) => /^```ts ignore/m.test(text));
  const silent = ignored.filter(({ text }) => {
    const tests = Array.from(text.matchAll(/\btests\/\S+_test\b/g), ([file]) => file);
    return tests.length === 0 || !tests.every((file) => isFile(`${file}.ts`));
  });
  assertEquals(silent.map(({ name, text }) => `${name}: ${text}`), []);
});

function isFile(path: string): boolean {
  try {
    return Deno.statSync(new URL(path, ROOT)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
