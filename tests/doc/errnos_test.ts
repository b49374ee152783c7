/** Whether the doc comments of `@bpf/link/sys` and the tests in `claims/` speak of the same errnos. */
import { assert, assertEquals } from "@std/assert";
import { ERRNO } from "../../lib/uapi/errno.ts";
import { exportedFunctions } from "./functions.ts";

const CLAIMS = new URL("claims/", import.meta.url);
const CODES = new Set<string>(Object.values(ERRNO).map(([code]) => code));

/** Codes by function. */
type Codes = Map<string, Set<string>>;

/** What each exported function's comment names itself, and whose comment it refers to. */
async function documented(): Promise<{ named: Codes; references: Map<string, string[]> }> {
  const named: Codes = new Map(), references = new Map<string, string[]>();
  for (const { name, comment } of await exportedFunctions()) {
    named.set(name, new Set(Array.from(comment.matchAll(/`(E[A-Z0-9]+)`/g), ([, code]) => code!)));
    references.set(name, Array.from(comment.matchAll(/\bAs \{@linkcode (\w+)\}/g), ([, other]) => other!));
  }
  return { named, references };
}

/** What the names of tests say: "linkDetach: EBADF, ...". */
function tested(): Codes {
  const codes: Codes = new Map();
  for (const { name: file } of Deno.readDirSync(CLAIMS)) {
    if (!file.endsWith("_test.ts")) continue;
    const text = Deno.readTextFileSync(new URL(file, CLAIMS));
    for (const [, , name, claim] of text.matchAll(/(["`])(\w+): ((?:(?!\1)[^\\\n]|\\.)+)\1/g)) {
      if (!codes.has(name!)) codes.set(name!, new Set());
      for (const [code] of claim!.matchAll(/\bE[A-Z0-9]+\b/g)) if (CODES.has(code)) codes.get(name!)!.add(code);
    }
  }
  return codes;
}

/** Each pair of `codes` that `others` lacks. */
function missing(codes: Codes, others: Codes): string[] {
  return [...codes].flatMap(([name, all]) =>
    [...all.difference(others.get(name) ?? new Set())].map((code) => `${name}: ${code}`)
  );
}

Deno.test("every exported function of @bpf/link/sys has claims that are tested, and no others", async () => {
  const { named } = await documented();
  assertEquals([...tested().keys()].sort(), [...named.keys()].sort());
});

Deno.test("every errno that a comment names has a test", async () => {
  const { named } = await documented();
  assert(named.get("linkDetach")!.has("EOPNOTSUPP"), "the comments are not read");
  assertEquals(missing(named, tested()), []);
});

Deno.test("every errno that a test provokes is in the comment", async () => {
  const { named, references } = await documented();
  const known: Codes = new Map(
    [...named].map(([name, codes]) => [
      name,
      references.get(name)!.reduce((all, other) => all.union(named.get(other)!), codes),
    ]),
  );
  assertEquals(missing(tested(), known), []);
});

Deno.test("every errno that a comment names is one that errors can have", async () => {
  const { named } = await documented();
  assertEquals(
    [...named].flatMap(([name, codes]) => [...codes.difference(CODES)].map((code) => `${name}: ${code}`)),
    [],
  );
});
