/**
 * Writes `lib/sys/README.md`: what `deno doc` knows of each function, and on which kernels each claim about it was run.
 *
 * `deno task reference [--check]`, after `deno task test:vm`; with `--check` it only compares.
 */
import { type Claims, keptClaims, MACHINES } from "../vm/claims.ts";
import { exportedFunctions, type Func } from "./functions.ts";

Deno.chdir(new URL("../..", import.meta.url));

const PAGE = "lib/sys/README.md";
const HEAD = `# \`@bpf/link/sys\`: the calls, and where each claim was tested

Written by \`deno task reference\` from the doc comments and the last run of \`deno task test:vm\`; the comments in this
folder say more. A claim is a sentence of theirs and the name of its test in \`tests/doc/claims\`. ✓ means that it passed
on that kernel; elsewhere the claim is about other kernels, or that kernel lacks something. Claims without any are about
kernels between these, or about a host: its hardware, its policy.
`;

const kept = MACHINES.map((machine) => keptClaims(machine));
const page = await formatted(HEAD + (await exportedFunctions()).map(section).join(""));
if (!Deno.args.includes("--check")) {
  Deno.writeTextFileSync(PAGE, page);
} else if (Deno.readTextFileSync(PAGE) !== page) {
  console.error(`${PAGE} is not what the tests say: run \`deno task reference\``);
  Deno.exit(1);
}

/** As `deno fmt` wants it. */
async function formatted(markdown: string): Promise<string> {
  const fmt = new Deno.Command(Deno.execPath(), { args: ["fmt", "--ext=md", "-"], stdin: "piped", stdout: "piped" });
  const child = fmt.spawn(), writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(markdown));
  await writer.close();
  const { stdout } = await child.output();
  return new TextDecoder().decode(stdout);
}

function section({ name, doc }: Func): string {
  const [purpose = ""] = doc.split("\n\n");
  const prefix = `${name}: `;
  const claims = new Set(kept.flatMap((claims) => [...claims.keys()]).filter((claim) => claim.startsWith(prefix)));
  const texts = Array.from(claims, (claim) => claim.slice(prefix.length)).sort(bySubject);
  const rows = texts.map((text) => row([text, ...kept.map((of) => mark(of, prefix + text))]));
  const head = row(["claim", ...MACHINES]), rule = row(["---", ...MACHINES.map(() => ":-:")]);
  return `\n## ${name}\n\n${purpose.replaceAll(/\{@linkcode (\w+)\}/g, "`$1`")}\n\n${head}${rule}${rows.join("")}`;
}

/** Sentences first, then errors, each with what else was tested of it: in which order tests ran is chance. */
function bySubject(a: string, b: string): number {
  const key = (claim: string) => {
    const subject = claim.replace(/^also: /, "");
    return `${/^[A-Z]/.test(subject) ? 1 : 0}${subject.toLowerCase()}`;
  };
  return key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0;
}

function mark(claims: Claims, claim: string): string {
  return claims.get(claim) ? "✓" : "";
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
}
