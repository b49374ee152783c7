/** What a watch says of looks that no kernel can be brought to give. */
import { assertEquals } from "@std/assert";
import { runScript } from "../fixture/process/script.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

Deno.test("an id that another link has now is the end of one and the beginning of the other", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    await new Deno.Command("cp", { args: ["-r", `${ROOT}mod.ts`, `${ROOT}lib`, folder] }).output();
    const file = `${folder}/lib/watch.ts`, source = Deno.readTextFileSync(file);
    const look = "new InfoLook(readAll(this.source, types))";
    assertEquals(source.split(look).length, 2);
    Deno.writeTextFileSync(file, source.replace(look, "new InfoLook(globalThis.looks.shift() ?? globalThis.last)"));
    const { output, errors } = await runScript(
      `
      import { Link } from "file://${folder}/mod.ts";
      const xdp = (id, programId) => ({ type: "xdp", id, programId, attached: true, ifindex: 3 });
      const iter = (id, programId) => ({ type: "iter", id, programId, targetName: "task" });
      globalThis.last = [iter(7, 3), xdp(8, 5)];
      globalThis.looks = [[xdp(7, 3), xdp(8, 4)], globalThis.last];
      const told = [];
      for await (const event of Link.watch({ source: "syscall", intervalMs: 1 })) {
        const info = event.info ?? event.after;
        if (told.push([event.kind, info.type, info.id]) === 5) break;
      }
      console.log(JSON.stringify(told));`,
      ["--allow-ffi"],
    );
    assertEquals(errors, "");
    assertEquals(JSON.parse(output), [
      ["present", "xdp", 7],
      ["present", "xdp", 8],
      ["removed", "xdp", 7],
      ["added", "iter", 7],
      ["changed", "xdp", 8],
    ]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
