/** The ways in which a program can end, and what is left in the kernel then: for the table in the guide of mod.ts and for its test. */

/** What an ending does to something. */
export type Fate =
  /** Detached by force, whoever else holds it. */
  | "detached"
  /** Its fd is closed, so it is gone unless somebody else holds it. */
  | "closed"
  /** Open until the process ends, which closes it. */
  | "open"
  /** It lives on. */
  | "stays";

/** What is looked at, in the order of the table's columns. */
export interface Left {
  /** A made link in a `using` scope. */
  readonly scoped: Fate;
  /** A made link in a variable. */
  readonly loose: Fate;
  /** A made link that was pinned. */
  readonly pinned: Fate;
  /** A link that was opened, by its id. */
  readonly opened: Fate;
  /** Programs and maps. */
  readonly others: Fate;
}

export interface Ending {
  /** As the table says it. */
  readonly name: string;
  readonly left: Left;
  /** What the program does last; it has the links then. */
  readonly last: string;
  /** It does so in a worker, and the main program does this then. */
  readonly ofWorker?: string;
  /** It reads a ring meanwhile. */
  readonly reads?: boolean;
  /** Options of `deno run`. */
  readonly options?: readonly string[];
  /** What is done to the process from outside. */
  readonly outside?: Deno.Signal | "change the file" | "end its parent";
  /** Once Deno has said this. */
  readonly after?: string;
  /** The process lives on. */
  readonly goesOn?: boolean;
}

const left = (scoped: Fate, loose: Fate, opened: Fate, others: Fate): Left => ({
  scoped,
  loose,
  pinned: "stays",
  opened,
  others,
});
const FORCED = left("detached", "detached", "closed", "closed");
const SCOPES = left("detached", "closed", "closed", "closed");
const KERNEL = left("closed", "closed", "closed", "closed");
const UNLOADED = left("detached", "detached", "open", "open");
const SCOPES_ONLY = left("detached", ...Array<Fate>(3).fill("open") as [Fate, Fate, Fate]);
const NOTHING = left(...Array<Fate>(4).fill("open") as [Fate, Fate, Fate, Fate]);
const ALL = left("stays", "stays", "stays", "stays");

const WAIT = "await new Promise(() => setTimeout(() => {}, 2 ** 30));";

export const ENDINGS: readonly Ending[] = [
  { name: "the program comes to its end", left: FORCED, last: "" },
  { name: "an error that nobody catches", left: SCOPES, last: "throw new Error('the end');", reads: true },
  {
    name: "a rejection at top level",
    left: SCOPES,
    last: "await Promise.reject(new Error('the end'));",
    reads: true,
  },
  {
    name: "an error in a timer, a rejection that nobody handles",
    left: KERNEL,
    last: `setTimeout(() => { throw new Error("the end"); }, 50); ${WAIT}`,
    reads: true,
  },
  { name: "`Deno.exit()`", left: FORCED, last: "Deno.exit(0);", reads: true },
  { name: "SIGINT", left: KERNEL, last: WAIT, reads: true, outside: "SIGINT" },
  { name: "SIGTERM", left: KERNEL, last: WAIT, reads: true, outside: "SIGTERM" },
  { name: "SIGKILL", left: KERNEL, last: WAIT, reads: true, outside: "SIGKILL" },
  {
    name: "out of memory",
    left: KERNEL,
    last: "const all = []; for (;;) all.push(new Array(10_000).fill(all.length));",
    options: ["--v8-flags=--max-old-space-size=64"],
  },
  {
    name: "`deno run --watch` starts it again",
    left: UNLOADED,
    last: WAIT,
    reads: true,
    options: ["--watch"],
    outside: "change the file",
    goesOn: true,
  },
  {
    name: "the same after an error that nobody caught",
    left: SCOPES_ONLY,
    last: "throw new Error('the end');",
    options: ["--watch"],
    outside: "change the file",
    after: "Process failed",
    goesOn: true,
  },
  {
    name: "`worker.terminate()` while the worker waits for a ring",
    left: FORCED,
    last: WAIT,
    reads: true,
    ofWorker: "worker.terminate();",
    goesOn: true,
  },
  {
    name: "`worker.terminate()` at any other time",
    left: NOTHING,
    last: WAIT,
    ofWorker: "worker.terminate();",
    goesOn: true,
  },
  { name: "`self.close()` in a worker", left: NOTHING, last: "self.close();", ofWorker: "", goesOn: true },
  { name: "the process's parent ends", left: ALL, last: WAIT, reads: true, outside: "end its parent", goesOn: true },
];
