/** What this process may do, and which kernel it runs on: looked at after a refusal, to say what it was for. */
import type { Explanation } from "../error.ts";
import { readTextFile } from "./files.ts";

export const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 } as const;

/**
 * The explanation, if the process lacks one of `needed`; CAP_SYS_ADMIN stands in for the others. None where `/proc` does
 * not say what it has.
 */
export function missingCapabilities(needed: readonly (keyof typeof CAPABILITIES)[]): Explanation | undefined {
  const set = /^CapEff:\s*([0-9a-f]+)/m.exec(statusFile())?.[1];
  if (set === undefined) return undefined;
  const held = BigInt(`0x${set}`);
  const has = (name: keyof typeof CAPABILITIES) => (held >> BigInt(CAPABILITIES[name]) & 1n) === 1n;
  const lacking = has("CAP_SYS_ADMIN") ? [] : needed.filter((name) => !has(name));
  if (lacking.length === 0) {
    return inInitialUserNamespace() ? undefined : {
      reason: "capability",
      meaning: "its capabilities count only in its own user namespace",
      hint: "run it outside of the container's user namespace, or load with a token",
    };
  }
  return {
    reason: "capability",
    meaning: `the process lacks ${lacking.join(" and ")}`,
    hint: "run as root, or give the process these capabilities",
  };
}

/** How far the kernel is locked down: `none`, `integrity` or `confidentiality`, which forbids more; unknown if hidden. */
function lockdown(): string | undefined {
  return /\[(\w+)\]/.exec(orEmpty("/sys/kernel/security/lockdown"))?.[1]; // none [integrity] confidentiality
}

/** The explanation, if the kernel is locked down so far that it forbids what would reveal its memory. */
export function lockedDown(what: string): Explanation | undefined {
  const level = lockdown();
  if (level !== "confidentiality") return undefined;
  return {
    reason: "policy",
    meaning: `the kernel is locked down (${level}), which forbids ${what}`,
    hint: "only a boot without it undoes that, see kernel_lockdown(7) and the kernel's parameter lockdown=",
  };
}

/** The initial user namespace maps every id to itself. True as well where that cannot be read. */
function inInitialUserNamespace(): boolean {
  return /^(\s*0\s+0\s+4294967295\s*)?$/.test(orEmpty("/proc/self/uid_map"));
}

function statusFile(): string {
  return orEmpty("/proc/self/status");
}

/** The running kernel's release, as `6.18.44`; empty where `/proc` is hidden. */
export function kernelRelease(): string {
  return orEmpty("/proc/sys/kernel/osrelease").trim();
}

/**
 * Kernels carry backports, so a version explains a refusal, but never decides what is tried. Undefined where the release
 * cannot be read.
 */
export function isOlderThan(version: string): boolean | undefined {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(kernelRelease())?.map(Number) ?? [];
  if (major === undefined || minor === undefined) return undefined;
  const [wantedMajor = 0, wantedMinor = 0] = version.split(".").map(Number);
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
}

function orEmpty(path: string): string {
  try {
    return readTextFile(path);
  } catch {
    return ""; // /proc may be hidden; the errno still says what it says
  }
}
