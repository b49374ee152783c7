/**
 * Builds the native libraries: `deno task build` writes what `lib/ffi` has generated; with `--check` it writes nothing and
 * fails if something is not what the sources give.
 *
 * Another compiler makes other bytes, so the files record their own and only that one can check them; where it is
 * missing, the check says so and ends with status 77. To move to another one:
 * `RUSTC=/path/to/rustc deno task build`.
 */
import { buildCore } from "./build_core.ts";
import { buildObject } from "./build_object.ts";
import { check, Missing, run, tell } from "./tools.ts";

const SKIPPED = 77;

if (Deno.args.length > Number(check)) {
  console.error("usage: deno task build [--check]");
  Deno.exit(2);
}
Deno.chdir(new URL("..", import.meta.url));

let status = 0;
for (const [library, build] of [["core", buildCore], ["object", buildObject]] as const) {
  try {
    for (const tool of ["cargo", "rustc"]) if (tell(tool, ["--version"]) === "") throw new Missing(tool);
    // What TypeScript knows of the sources comes first: any compiler can check it.
    const bindgen = ["run", "--quiet", "--locked", "--manifest-path=ffi/bindgen/Cargo.toml"];
    const symbols = `lib/ffi/${library === "core" ? "" : `${library}/`}symbols.ts`;
    await run("cargo", [...bindgen, `--bin=symbols_of_${library}`, "--", ...check ? ["--check"] : [], symbols]);
    await build();
  } catch (error) {
    const { message } = error as Error;
    const skipped = error instanceof Missing;
    const what = check ? `The check of the native library ${library} is skipped: it` : `Building ${library}`;
    console.error(skipped ? `${what} needs ${message}` : message);
    if (status === 0 || status === SKIPPED) status = skipped ? SKIPPED : 1;
  }
}
Deno.exit(status);
