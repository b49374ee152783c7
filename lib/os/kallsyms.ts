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
export function functionsNamed(names: ReadonlySet<string>): ReadonlyMap<string, readonly KernelFunction[]> | undefined {
  return look(names)?.functions;
}

/**
 * The names that several functions have. Whoever asks is about to use `names`, which are looked up meanwhile; none if the
 * list cannot be read.
 */
export function ambiguousNames(names: ReadonlySet<string>): ReadonlySet<string> {
  if (ambiguous?.modules !== modules()) look(names);
  return ambiguous?.names ?? NONE;
}

/** What the compiler made of functions that are not there by these names: `NAME.isra.0` and the like, a few. */
export function variantsOf(names: readonly string[]): string[] {
  const { variants } = look(new Set(names)) ?? {};
  return names.flatMap((name) => variants?.get(name) ?? []).slice(0, MOST_VARIANTS);
}

/** What the list says of some names. */
interface Look {
  readonly modules: string;
  readonly names: ReadonlySet<string>;
  readonly functions: ReadonlyMap<string, readonly KernelFunction[]>;
  readonly variants: ReadonlyMap<string, readonly string[]>;
}

const NONE: ReadonlySet<string> = new Set(), MOST_VARIANTS = 5, MOST_KEPT = 1000;

/** Of the whole list; it holds until modules come or go. */
let ambiguous: { readonly modules: string; readonly names: ReadonlySet<string> } | undefined;
let last: Look | undefined;

/**
 * Reads the list, which takes a tenth of a second: once for all that one attach asks, so the last look is kept. `undefined` if
 * it cannot be read.
 */
function look(names: ReadonlySet<string>): Look | undefined {
  const now = modules();
  if (last?.modules === now && names.isSubsetOf(last.names)) return last;
  const list = unlessRefused(() => readTextFile("/proc/kallsyms"));
  if (list === undefined) return undefined;
  const seen = ambiguous?.modules === now ? undefined : new Set<string>(), several = new Set<string>();
  const functions = new Map<string, KernelFunction[]>(), variants = new Map<string, string[]>();
  for (const [, hex, text, module] of list.matchAll(LINE)) {
    const name = text!;
    if (seen !== undefined) (seen.has(name) ? several : seen).add(name);
    if (names.has(name)) add(functions, name, { name, address: BigInt(`0x${hex}`), module });
    const dot = name.indexOf("."), whole = dot > 0 ? name.slice(0, dot) : "";
    if (names.has(whole) && !name.startsWith("__pfx_") && !/\.cold(\.|$)/.test(name)) {
      if ((variants.get(whole)?.length ?? 0) < MOST_VARIANTS) add(variants, whole, name);
    }
  }
  if (seen !== undefined) ambiguous = { modules: now, names: several };
  const found = { modules: now, names, functions, variants };
  last = names.size > MOST_KEPT ? undefined : found;
  return found;
}

function add<T>(to: Map<string, T[]>, name: string, value: T): void {
  const others = to.get(name);
  if (others === undefined) to.set(name, [value]);
  else others.push(value);
}

function modules(): string {
  return (unlessRefused(() => readTextFile("/proc/modules")) ?? "").replace(/ .*/g, "");
}

// ffffffff81000000 t do_unlinkat [module]
const LINE = /^([0-9a-f]+) [tTwW] (\S+)(?:\t\[(\S+)\])?/gm;

/** Bytes of the ENDBR that functions may begin with; a probe at the beginning lies behind it. */
const ENDBR = 4n;

/** The names of the functions that begin at addresses, as `module:name` in modules, as far as the list shows them. */
export function functionsAt(addresses: ReadonlySet<bigint>): ReadonlyMap<bigint, string> {
  const hexOf = (address: bigint) => address.toString(16).padStart(16, "0"), found = new Map<bigint, string>();
  const wanted = new Map([
    ...Array.from(addresses, (address) => [hexOf(address - ENDBR), address] as const),
    ...Array.from(addresses, (address) => [hexOf(address), address] as const),
  ]);
  for (const [, hex, name, module] of (unlessRefused(() => readTextFile("/proc/kallsyms")) ?? "").matchAll(LINE)) {
    const address = wanted.get(hex!);
    if (address === undefined || name!.startsWith("__pfx_")) continue;
    if (found.has(address) && BigInt(`0x${hex}`) !== address) continue; // begins there, without
    // programs and trampolines are listed as those of modules, too
    const isModule = module !== undefined && module !== "bpf" && !module.startsWith("__builtin");
    found.set(address, isModule ? `${module}:${name}` : name!);
  }
  return found;
}
