/** The examples of the documentation pass `deno lint`, as those who copy them have it. */
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

function sources(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory ? sources(`${folder}/${name}`) : name.endsWith(".ts") ? [`${folder}/${name}`] : []
  );
}

/** The blocks of code of a file; those in comments lose their stars. */
function examples(file: string): string[] {
  const text = Deno.readTextFileSync(new URL(file, ROOT));
  const lines = file.endsWith(".md") ? text : text.replace(/^ *\* ?/gm, "");
  return Array.from(lines.matchAll(/^```ts[^\n]*\n(.*?)^```/gms), ([, code]) => code!);
}

Deno.test("the examples of README and comments pass the recommended rules of deno lint", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    let count = 0;
    for (const file of ["README.md", "mod.ts", ...sources("lib")]) {
      for (const code of examples(file)) {
        Deno.writeTextFileSync(`${folder}/${file.replace(/\W/g, "_")}_${count++}.ts`, code);
      }
    }
    assert(count > 50, "the examples are not found");
    const { stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["lint", "--no-config", folder],
      env: { NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder().decode(stderr);
    assertEquals(text.match(/^error.*\n.*$/gm) ?? [], []);
    assert(text.includes(`Checked ${count} files`), text);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
