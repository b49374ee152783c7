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

/** Claims by function, as the names of tests: "linkDetach: EBADF, ...". */
function claims(): [name: string, claim: string][] {
  return [...Deno.readDirSync(CLAIMS)].filter(({ name }) => name.endsWith("_test.ts")).flatMap(({ name: file }) => {
    const text = Deno.readTextFileSync(new URL(file, CLAIMS));
    return [...text.matchAll(/(["`])(\w+): ((?:(?!\1)[^\\\n]|\\.)+)\1/g)].map(([, , name, claim]) =>
      [name!, claim!] as [string, string]
    );
  });
}

/** The codes that claims speak of. */
function tested(): Codes {
  const codes: Codes = new Map();
  for (const [name, claim] of claims()) {
    if (!codes.has(name)) codes.set(name, new Set());
    for (const [code] of claim.matchAll(/\bE[A-Z0-9]+\b/g)) if (CODES.has(code)) codes.get(name)!.add(code);
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

/** Tables of errnos whose name is not that of their function. */
const FUNCTIONS: Readonly<Record<string, string>> = { PERF_EVENT_ENABLE: "perfEventEnable", OPENAT: "open" };
/** Tables that add to another one, and what functions share. */
const SHARED = ["FUNCTION_OPEN", "KPROBE_OPEN", "OBJ_GET_INFO_BY_FD", "UPROBE_OPEN"];
/** What lib/refusal.ts explains of any call. */
const ANY = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

/** Codes that a comment names and its table does not explain, for another table does, or they are about another call. */
const EXPLAINED_ELSEWHERE = [
  "linkDetach: ENOLINK",
  "linkGetNextId: EAGAIN",
  "linkGetNextId: ENOENT",
  "mapDeleteElem: EBADFD",
  "mapGetNextKey: EBADFD",
  "mapLookupBatch: EBADFD",
  "mapLookupElem: EBADFD",
  "mapUpdateElem: EBADFD",
  "perfEventOpen: E2BIG",
  "perfEventOpen: EADDRNOTAVAIL",
  "perfEventOpen: EILSEQ",
  "perfEventOpen: ENOTSUPP",
  "progQuery: ESTALE",
  "rawTracepointOpen: E2BIG",
  "rawTracepointOpen: EBUSY",
];

/** Codes that a table explains and no comment promises: no test can provoke them (races, policies, other builds). */
const UNPROVOKED = [
  "linkGetFdById: EINVAL",
  "mapCreate: ENOENT",
  "mapCreate: EOPNOTSUPP",
  "mapDeleteElem: EBADF",
  "mapDeleteElem: EBUSY",
  "mapDeleteElem: EFAULT",
  "mapDeleteElem: EINPROGRESS",
  "mapGetNextKey: EBADF",
  "mapGetNextKey: EFAULT",
  "mapLookupBatch: EBADF",
  "mapLookupBatch: EFAULT",
  "mapLookupBatch: EINTR",
  "mapLookupBatch: EOPNOTSUPP",
  "mapLookupElem: EBADF",
  "mapLookupElem: EFAULT",
  "mapUpdateElem: EAGAIN",
  "mapUpdateElem: EFAULT",
  "objGet: EPERM",
  "open: ENOTDIR",
  "open: EPERM",
  "perfEventOpen: EBUSY",
  "perfEventOpen: EPERM",
  "progLoad: EAGAIN",
  "progLoad: ENOENT",
  "progTestRun: EINTR",
  "rawTracepointOpen: EPERM",
];

/** The tables that lie beside the comments, by the function that they are about. */
async function tables(): Promise<Codes> {
  const found: Codes = new Map();
  const lib = new URL("../../lib/", import.meta.url);
  const files = ["sys", "os"].flatMap((folder) =>
    Array.from(Deno.readDirSync(new URL(folder, lib)), ({ name }) => `${folder}/${name}`)
  );
  for (const file of files.filter((file) => file.endsWith(".ts"))) {
    const exports: Record<string, unknown> = await import(new URL(file, lib).href);
    for (const [name, value] of Object.entries(exports)) {
      if (!isTable(value) || SHARED.includes(name)) continue;
      const [first, ...words] = name.toLowerCase().split("_");
      const camel = first + words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
      found.set(FUNCTIONS[name] ?? camel, new Set(Object.keys(value.rows())).difference(ANY));
    }
  }
  return found;
}

function isTable(value: unknown): value is { rows: () => object } {
  return typeof value === "object" && value !== null && "command" in value && "rows" in value;
}

Deno.test("the table of errnos beside a comment explains what the comment names, and what is said here", async () => {
  const { named } = await documented(), explained = await tables();
  assert(explained.size > 20, "the tables are not read");
  const promised = new Map(
    [...named].filter(([name]) => explained.has(name)).map(([name, codes]) => [name, codes.difference(ANY)] as const),
  );
  assertEquals(missing(promised, explained).sort(), EXPLAINED_ELSEWHERE);
  assertEquals(missing(explained, named).sort(), UNPROVOKED);
});

/** The longer words of a text, without their endings. */
function words(text: string): Set<string> {
  const all = text.replaceAll("\\n", " ").match(/[A-Za-z_0-9.]+/g) ?? [];
  return new Set(
    all.map((word) => word.toLowerCase().replace(/\.$/, "").replace(/(ies|es|s|ed|ing)$/, ""))
      .filter((word) => word.length > 3),
  );
}

Deno.test("a claim speaks in the words of its comment, or says that it is more", async () => {
  const functions = await exportedFunctions();
  const own = new Map(functions.map(({ name, comment }) => [name, comment]));
  const said = new Map(functions.map(({ name, comment }) => {
    const references = Array.from(comment.matchAll(/\{@linkcode (\w+)\}/g), ([, other]) => own.get(other!) ?? "");
    return [name, words([comment, ...references].join(" "))];
  }));
  const strange = claims().filter(([name, claim]) => {
    const quoted = words(claim.replace(/\$\{[^}]*\}/g, "")).isSubsetOf(said.get(name)!);
    return quoted === claim.startsWith("also: ");
  });
  assertEquals(strange.map((claim) => claim.join(": ")), []);
});
