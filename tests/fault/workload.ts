/**
 * The process whose system calls fail; it runs under the injector. Prints a line of JSON before and after each fault, so
 * that whoever reads them knows at which one it hung or crashed.
 *
 * Arguments: mode, a bpf file system, the name of an operation, how many of its faults to pass over. In mode `cold` that is
 * empty, to be told what only a first run asks of the kernel, or one of the faults that are told.
 */
import { BpfError } from "../../mod.ts";
import { native } from "../../lib/ffi/library.ts";
import { ARGS, Request } from "../../lib/ffi/request.ts";
import { Call } from "../../lib/ffi/symbols.ts";
import { closeIterator } from "../../lib/listing/iterator.ts";
import { errnosOf, nameOf, NUMBER, wrongWith } from "./errnos.ts";
import { type Step, Steps } from "./steps.ts";
import { numbersOf } from "./numbers.ts";

/** What is printed before a fault. */
export interface Begun {
  readonly index: number;
  readonly step: string;
  readonly call: string;
  readonly nth: number;
  readonly errno: string;
}

/** What is printed after it. */
export interface Ended {
  readonly outcome: "done" | "documented" | "error" | "unreached" | "wrong";
  readonly wrong: readonly string[];
}

/** What only a first run asks of the kernel, and what it usually comes to. */
export interface Cold {
  readonly cold: readonly ColdFault[];
}

/** A call that only a first run makes, the errno to fail it with, and what the operation usually comes to. */
export type ColdFault = readonly [number: number, command: number, errno: string, usual: unknown];

/** What the injector understands; see injector.c. */
const ORDER = 0x7fb0f000, STOP = 0, COUNT = 1, COUNTED = 2, ARM = 3;

function order(...args: readonly number[]): number {
  const request = new Request(ARGS);
  [ORDER, ...args].forEach((value, i) => request.u64(i * 8, BigInt(value)));
  return request.system(Call.fcntl);
}

const NAMES = new Map(Object.entries(numbersOf(Deno.build.arch)).map(([name, number]) => [number, name]));
const [mode = "calls", bpffs = "", name = "", skip = "0"] = Deno.args;
const pins = `${bpffs}/${Deno.pid}`;
Deno.mkdirSync(pins);
const encoder = new TextEncoder();
const say = (line: unknown): void => void Deno.stdout.writeSync(encoder.encode(JSON.stringify(line) + "\n"));

/** What the event loop met that nobody waited for. */
const stray: string[] = [];
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  stray.push(`a rejection that nobody awaits: ${event.reason}`);
});
addEventListener("error", (event) => {
  event.preventDefault();
  stray.push(`an error that nobody catches: ${event.message}`);
});

let index = 0;
const steps = new DisposableStack();
try {
  const step = steps.use(new Steps(pins)).all[name]!;
  if (mode === "cold") await (skip === "" ? listCold(step) : failCold(step, JSON.parse(skip)));
  else {
    const usual = await usually(step);
    if (mode === "calls") await failCalls(step, usual);
    else if (mode === "files") await fillTable(step, usual);
    else await freeStdio(step, usual);
  }
  steps.dispose();
  say({ finished: true });
} catch (error) {
  say({ failed: String((error as Error).stack) }); // or the listeners above would swallow it
  steps.dispose();
  Deno.exit(1);
}

/** What an operation comes to without a fault; from then on it is warm. */
async function usually(step: Step): Promise<unknown> {
  const usual = await settle(step);
  if (!("result" in usual)) throw new Error(`${name} fails by itself`, { cause: usual.error });
  await settle(step);
  return usual.result;
}

/** The calls that an operation makes. */
async function callsOf(step: Step): Promise<{ number: number; command: number; count: number }[]> {
  order(COUNT);
  await settle(step);
  order(STOP);
  const calls = [];
  for (let i = 0, number; (number = order(COUNTED, i, 0)) >= 0; i++) {
    calls.push({ number, command: order(COUNTED, i, 1) - 1, count: order(COUNTED, i, 2) });
  }
  closeIterator();
  return calls;
}

/** Makes each call of an operation fail with each errno. */
async function failCalls(step: Step, usual: unknown): Promise<void> {
  const calls = await callsOf(step);
  for (const { number, command, count } of calls) {
    const call = NAMES.get(number)!, errnos = errnosOf(call, command);
    if (errnos === undefined) throw new Error(`errnos.ts says nothing of ${call}`);
    for (const nth of new Set([1, 2, 3, count, 0])) {
      // none of three: the way home, without which the library ends the process (syscall.rs); after a rehearsal it is open
      if (nth > count || call === "SETNS" && nth > 0 && nth % 3 === 0) continue;
      for (const errno of errnos) {
        await fault({ index, step: name, call: nameOf(call, command), nth, errno }, step, usual, {
          begin: () => order(ARM, number, command + 1, nth, NUMBER[errno]!),
          end: () => order(STOP) > 0,
        });
      }
    }
  }
}

/** Tells what only a first run asks of the kernel: what it finds out is remembered, and may not be remembered wrongly. */
async function listCold(step: Step): Promise<void> {
  const first = await callsOf(step), usual = await usually(step), later = await callsOf(step);
  const cold = first.flatMap(({ number, command, count }): ColdFault[] => {
    const isLater = later.some((call) => call.number === number && call.command === command && call.count >= count);
    const errnos = isLater ? [] : errnosOf(NAMES.get(number)!, command) ?? [];
    return errnos.filter((errno) => ["EPERM", "EINTR", "EMFILE", "ENOMEM"].includes(errno))
      .map((errno) => [number, command, errno, usual]);
  });
  say({ cold } satisfies Cold);
}

/** Makes the first call of a kind fail in the first run; later ones must come to what they always come to. */
async function failCold(step: Step, [number, command, errno, usual]: ColdFault): Promise<void> {
  say({ index, step: name, call: nameOf(NAMES.get(number)!, command), nth: 1, errno } satisfies Begun);
  order(ARM, number, command + 1, 1, NUMBER[errno]!);
  const outcome = await settle(step);
  const wasReached = order(STOP) > 0;
  closeIterator();
  closeInjected();
  const wrong = [...judge(outcome, errno, step, usual), ...stray.splice(0)];
  for (const { name } of Deno.readDirSync(pins)) Deno.removeSync(`${pins}/${name}`, { recursive: true });
  for (const problem of await afterwards(step, usual)) wrong.push(`afterwards: ${problem}`);
  tell(wasReached, outcome, usual, wrong);
}

/** Leaves an operation room for few fds, then for one more, until it is done. */
async function fillTable(step: Step, usual: unknown): Promise<void> {
  for (let room = 0, isDone = false; !isDone && room < 40; room++) {
    const fds: number[] = [];
    isDone = await fault({ index, step: name, call: "any", nth: room, errno: "EMFILE" }, step, usual, {
      begin(): void {
        for (let fd; (fd = openNull()) >= 0;) fds.push(fd);
        for (const fd of fds.splice(0, room)) native().bpf_link_close(fd);
      },
      end(): boolean {
        for (const fd of fds.splice(0)) native().bpf_link_close(fd);
        return true;
      },
    });
  }
}

/** Does an operation while 0, 1 and 2 are free: an fd of the kernel's might be one of them. */
async function freeStdio(step: Step, usual: unknown): Promise<void> {
  const saved: number[] = [];
  await fault({ index, step: name, call: "any", nth: 0, errno: "0 to 2 are free" }, step, usual, {
    begin(): void {
      for (const fd of [0, 1, 2]) {
        saved.push(duplicate(fd, 100));
        native().bpf_link_close(fd);
      }
    },
    end(): boolean {
      for (const fd of [0, 1, 2]) {
        if (duplicate(saved[fd]!, fd) !== fd) stray.push(`something is left at fd ${fd}`);
        native().bpf_link_close(saved[fd]!);
      }
      return true;
    },
  });
}

/** Runs an operation with a fault, says what became of it, and whether it is over. */
async function fault(
  begun: Begun,
  step: Step,
  usual: unknown,
  { begin, end }: { begin(): unknown; end(): boolean },
): Promise<boolean> {
  if (index++ < Number(skip)) return false;
  const fdsBefore = openFiles();
  if (mode !== "stdio") say(begun);
  begin();
  const outcome = await settle(step);
  const wasReached = end();
  if (mode === "stdio") say(begun);
  closeIterator();
  closeInjected();
  const wrong = [...judge(outcome, begun.errno, step, usual), ...stray.splice(0)];
  const isLeft = () => [...openFiles()].filter(([fd, file]) => fdsBefore.get(fd) !== file).map(([, file]) => file);
  let left = isLeft();
  for (let turns = 0; left.length > 0 && turns < 50; turns++, left = isLeft()) {
    await new Promise((go) => setTimeout(go, 1));
  }
  if (left.length > 0) wrong.push(`left open: ${left.join(", ")}`);
  for (const { name } of Deno.readDirSync(pins)) {
    // what was to outlive the operation may, if it says that it failed; a temporary name may not
    const isGone = begun.errno === "ENOENT" || "error" in outcome; // as the kernel says
    if (!isGone || !/^pin\d+$/.test(name)) wrong.push(`left a pin: ${name.replace(/\d+/g, "N")}`);
    Deno.removeSync(`${pins}/${name}`, { recursive: true });
  }
  for (const problem of await afterwards(step, usual)) wrong.push(`afterwards: ${problem}`);
  const isDone = tell(wasReached, outcome, usual, wrong);
  if (wrong.some((what) => what.startsWith("left open") || what.startsWith("afterwards"))) {
    steps.dispose();
    Deno.exit(77); // begin anew
  }
  return isDone;
}

/** Says what became of a fault, and whether the operation came to what it usually does. */
function tell(wasReached: boolean, outcome: Outcome, usual: unknown, wrong: readonly string[]): boolean {
  const isDone = "result" in outcome && equal(outcome.result, usual);
  const good = !wasReached ? "unreached" : isDone ? "done" : "result" in outcome ? "documented" : "error";
  say({ outcome: wrong.length > 0 ? "wrong" : good, wrong } satisfies Ended);
  return isDone;
}

/** What is wrong with an operation from now on. What other processes look at just now takes a moment to end. */
async function afterwards(step: Step, usual: unknown): Promise<string[]> {
  for (let tries = 0;; tries++) {
    const wrong = [...judge(await settle(step), "", step, usual, true)];
    closeIterator();
    if (wrong.length === 0 || tries === 20) return wrong;
    await new Promise((go) => setTimeout(go, 50));
  }
}

type Outcome = { readonly result: unknown } | { readonly error: unknown };

async function settle(step: Step): Promise<Outcome> {
  try {
    return { result: await step.run() };
  } catch (error) {
    return { error };
  }
}

function equal(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function* judge(outcome: Outcome, code: string, step: Step, usual: unknown, strictly = false): Generator<string> {
  if ("result" in outcome) {
    if (equal(outcome.result, usual) || !strictly && step.accepts?.(outcome.result, usual, code)) return;
    yield `another result: ${JSON.stringify(outcome.result)}`;
    return;
  }
  const errors = [...leaves(outcome.error)];
  for (const error of errors) {
    if (!(error instanceof BpfError)) {
      yield `${(error as Error)?.constructor?.name}: ${(error as Error)?.message ?? error}`;
    } else if (strictly) yield error.message;
  }
  // the first is what happened; others may follow from it
  const [first] = errors;
  if (!strictly && first instanceof BpfError) {
    const wrong = wrongWith(first, code);
    if (wrong !== undefined) yield `${wrong}: ${first.message}`;
  }
}

/** What an error is made of. */
function* leaves(error: unknown): Generator<unknown> {
  if (error instanceof AggregateError) { for (const inner of error.errors) yield* leaves(inner); }
  else if (error instanceof SuppressedError) {
    yield* leaves(error.suppressed);
    yield* leaves(error.error);
  } else yield error;
}

/** What is open, and mapped. */
function openFiles(): Map<string, string> {
  const files = new Map<string, string>();
  // Deno makes pairs of unix sockets when it pleases, the library makes none
  const unix = Deno.readTextFileSync("/proc/self/net/unix");
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      const target = Deno.readLinkSync(`/proc/self/fd/${name}`), [, socket] = /^socket:\[(\d+)\]/.exec(target) ?? [];
      if (socket !== undefined && unix.includes(` ${socket}`)) continue;
      if (!/^\/proc\/\d+\/fd$|_cache_v\d/.test(target)) files.set(name, target);
    } catch { /* the directory that was being read */ }
  }
  for (const [line, address] of Deno.readTextFileSync("/proc/self/maps").matchAll(/^(\S+).*bpf-map.*$/gm)) {
    files.set(`mapped ${address}`, line);
  }
  return files;
}

/** Closes what the injector put in the place of fds that it closed. */
function closeInjected(): void {
  for (const [fd, file] of openFiles()) {
    if (file.includes("closed by the injector")) native().bpf_link_close(Number(fd));
  }
}

function openNull(): number {
  const request = new Request(ARGS, 512).u64(0, 0xffffff9cn); // AT_FDCWD
  request.string(8, "/dev/null");
  return request.system(Call.openat);
}

/** A duplicate that is `least` or above. */
function duplicate(fd: number, least: number): number {
  return new Request(ARGS).u64(0, BigInt(fd)).u64(8, 0n).u64(16, BigInt(least)).system(Call.fcntl); // F_DUPFD
}
