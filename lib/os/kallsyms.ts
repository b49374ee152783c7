/** The kernel's functions, as `/proc/kallsyms` lists them. */
import { unlessRefused } from "../refusal.ts";
import { readTextFile } from "./files.ts";

/** A function of the kernel or of a module. */
export interface KernelFunction {
  readonly name: string;
  /** Where it begins, an ENDBR before its code included; 0n for callers that may not see that. */
  readonly address: bigint;
  /** The module that has it; none if it is the kernel itself. */
  readonly module: string | undefined;
}

/** What a name says that has the module in front, as `veth:veth_xmit`. */
export function splitName(name: string): { name: string; module: string | undefined } {
  const colon = name.indexOf(":");
  return colon < 0 ? { name, module: undefined } : { name: name.slice(colon + 1), module: name.slice(0, colon) };
}

/** The functions of these names, several for a name that several have; `undefined` if the list cannot be read. */
export function functionsNamed(names: ReadonlySet<string>): Map<string, KernelFunction[]> | undefined {
  const list = readList();
  if (list === undefined) return undefined;
  const found = new Map<string, KernelFunction[]>();
  for (const [, hex, name, module] of list.matchAll(LINE)) {
    if (!names.has(name!)) continue;
    const each: KernelFunction = { name: name!, address: BigInt(`0x${hex}`), module };
    const others = found.get(name!);
    if (others === undefined) found.set(name!, [each]);
    else others.push(each);
  }
  return found;
}

let ambiguous: { readonly modules: string; readonly names: ReadonlySet<string> } | undefined;

/** The names that several functions have. The list is long, so it is read once, and again when modules came or went. */
export function ambiguousNames(): ReadonlySet<string> {
  const modules = (unlessRefused(() => readTextFile("/proc/modules")) ?? "").replace(/ .*/g, "");
  if (ambiguous?.modules === modules) return ambiguous.names;
  const seen = new Set<string>(), names = new Set<string>();
  for (const [, , name] of (readList() ?? "").matchAll(LINE)) (seen.has(name!) ? names : seen).add(name!);
  ambiguous = { modules, names };
  return names;
}

/** What the compiler made of functions that are not there by these names: `NAME.isra.0` and the like, a few. */
export function variantsOf(names: readonly string[]): string[] {
  const wanted = new Set(names), found = new Set<string>();
  for (const [, , name] of (readList() ?? "").matchAll(LINE)) {
    const dot = name!.indexOf(".");
    if (dot > 0 && !name!.startsWith("__pfx_") && wanted.has(name!.slice(0, dot)) && !/\.cold(\.|$)/.test(name!)) {
      found.add(name!);
    }
  }
  return [...found].slice(0, 5);
}

// ffffffff81000000 t do_unlinkat [module]
const LINE = /^([0-9a-f]+) [tTwW] (\S+)(?:\t\[(\S+)\])?/gm;

function readList(): string | undefined {
  return unlessRefused(() => readTextFile("/proc/kallsyms"));
}
