/** The pins that this process can see, and how to look at what it may not see or what goes meanwhile. */
import { closeIfOpen, readDirectory, statPath } from "../os/files.ts";
import { mounts } from "../os/proc.ts";
import { unlessGone, visibly } from "../refusal.ts";
import { isLink, objGet } from "../sys/object.ts";
import { runToEnd } from "../wait.ts";

/** Called for each pin with its path and its identity, which is the same under every name. Returns false if it cannot be seen. */
export type Visit = (path: string, file: string) => boolean;

/** Looks at each pin on the bpf file systems of this mount namespace. False if some could not be seen. */
export function visitPins(visit: Visit): boolean {
  return runToEnd(pinSteps(visit));
}

/** {@linkcode visitPins} step by step. */
export function* pinSteps(visit: Visit): Generator<void, boolean, void> {
  const walked: string[] = []; // file systems, each with the directory that was mounted
  let isWhole = true;
  // each file system once, from as far up as there is a mount of it
  for (const { path, root, device } of mounts("self", "bpf").sort((a, b) => a.root.length - b.root.length)) {
    const directory = device + root.replace(/\/?$/, "/");
    if (walked.some((above) => directory.startsWith(above))) continue;
    if (visibly(() => statPath(path).device) !== device) {
      isWhole = false; // something else is mounted over it
      continue;
    }
    walked.push(directory);
    isWhole = (yield* stepsBelow(path, device, visit)) && isWhole && root === "/";
  }
  return isWhole;
}

function* stepsBelow(directory: string, device: bigint, visit: Visit): Generator<void, boolean, void> {
  const entries = visibly(() => readDirectory(directory));
  if (entries === undefined) return false;
  let isWhole = true;
  for (const { name, isDirectory, isFile, inode } of entries) {
    const path = `${directory}/${name}`;
    if (name.includes("\ufffd")) isWhole = false; // no UTF-8, so no string names it
    if (isDirectory) isWhole = (yield* stepsBelow(path, device, visit)) && isWhole;
    if (isFile) isWhole = visit(path, `${device} ${inode}`) && isWhole;
    yield;
  }
  return isWhole;
}

/** What `look` sees of the link that is pinned at a path; undefined if something else is there, or nothing. */
export function withPinnedLink<T>(path: string, look: (linkFd: number) => T): T | undefined {
  const fd = unlessGone(() => objGet(path));
  if (fd === undefined) return undefined;
  try {
    return isLink(fd) ? look(fd) : undefined;
  } finally {
    closeIfOpen(fd);
  }
}
