/** The files of `.github`: what they name exists, and their format is what GitHub reads. */
import { assert, assertEquals } from "@std/assert";
import { parse } from "npm:yaml@2.9.1";

const root = new URL("../../", import.meta.url);
const text = (file: string) => Deno.readTextFileSync(new URL(file, root));
const config: { version: string; tasks: Record<string, string> } = JSON.parse(text("deno.json"));
const files = (folder: string) =>
  Array.from(Deno.readDirSync(new URL(folder, root)), ({ name }) => `${folder}/${name}`).sort();

Deno.test("the workflows run what the repository has", () => {
  for (const file of files(".github/workflows")) {
    const { jobs }: { jobs: Record<string, { steps: { uses?: string; run?: string }[] }> } = parse(text(file));
    const steps = Object.values(jobs).flatMap(({ steps }) => steps);
    assert(steps.some(({ run }) => run !== undefined), file);
    for (const { uses, run } of steps) {
      assert((uses === undefined) !== (run === undefined), `${file}: a step either uses or runs`);
      for (const [, task] of run?.matchAll(/deno@\S+ task (\S+)/g) ?? []) {
        assert(task! in config.tasks, `${file}: ${task}`);
      }
      for (const [script] of run?.matchAll(/\.ci\/\S+/g) ?? []) assert(Deno.statSync(new URL(script, root)).isFile);
    }
  }
});

Deno.test("the issue forms have the keys that GitHub demands, and ask for what the kernel can do", () => {
  for (const file of files(".github/ISSUE_TEMPLATE").filter((file) => !file.endsWith("/config.yml"))) {
    const form: {
      name: string;
      description: string;
      body: { type: string; id: string; attributes: { label: string; description?: string } }[];
    } = parse(text(file));
    assert(form.name && form.description, file);
    assertEquals(new Set(form.body.map(({ id }) => id)).size, form.body.length, `${file}: an id stands twice`);
    for (const { type, attributes } of form.body) {
      assert(["textarea", "input"].includes(type) && attributes.label, file);
    }
    assert(form.body.some(({ attributes }) => attributes.description?.includes("bpflink probe --json")), file);
  }
});

Deno.test("the changelog begins with the version of deno.json", () => {
  assertEquals(/^## (\S+)$/m.exec(text(".github/CHANGELOG.md"))?.[1], config.version);
});

Deno.test("contributors are told only of tasks and files that exist", () => {
  const page = text(".github/CONTRIBUTING.md");
  for (const [, task] of page.matchAll(/deno(?:@\S+)? task ([\w:]+)/g)) assert(task! in config.tasks, task);
  const places = Array.from(page.matchAll(/^\| (`.*?) \|/gm), ([, cell]) => cell!).flatMap((cell) => {
    const names = Array.from(cell.matchAll(/`([^`]+)`/g), ([, name]) => name!);
    const folder = names[0]!.slice(0, names[0]!.lastIndexOf("/") + 1);
    return names.map((name) => name.includes("/") || name === "mod.ts" ? name : folder + name);
  });
  assert(places.length > 20);
  for (const place of places) assert(Deno.statSync(new URL(place, root)), place);
});
