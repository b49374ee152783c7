/** The functions of `@bpf/link/sys`, as `deno doc` knows them. */

/** One of them. */
export interface Func {
  readonly name: string;
  /** Its doc comment without tags. */
  readonly doc: string;
  /** The whole comment, as JSON. */
  readonly comment: string;
}

/** What `deno doc --json` says of a module. */
interface Doc {
  nodes: Record<string, { symbols: { name: string; declarations: Declaration[] }[] }>;
}

interface Declaration {
  kind: string;
  jsDoc?: { doc?: string };
}

/** All of them, by name. */
export async function exportedFunctions(): Promise<Func[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", "--no-config", "lib/sys/mod.ts"],
    cwd: new URL("../../", import.meta.url),
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const { nodes }: Doc = JSON.parse(new TextDecoder().decode(stdout));
  return Object.values(nodes).flatMap(({ symbols }) => symbols)
    .filter(({ declarations }) => declarations.some(({ kind }) => kind === "function"))
    .map(({ name, declarations }) => ({
      name,
      doc: declarations.map(({ jsDoc }) => jsDoc?.doc ?? "").join("\n\n"),
      comment: JSON.stringify(declarations.map(({ jsDoc }) => jsDoc)),
    }));
}
