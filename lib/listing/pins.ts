/** The pins that this process can see, and how to look at what it may not see or what goes meanwhile. */
import { close, readDirectory, statPath } from "../os/files.ts";
import { mounts } from "../os/proc.ts";
import { unlessGone, visibly } from "../refusal.ts";
import { isLink, objGet } from "../sys/object.ts";

/**
 * Looks at each pin on the bpf file systems of this mount namespace; `file` tells it from others whatever names it has.
 * False if some could not be seen, or `visit` says so of one.
 */
export function visitPins(visit: (path: string, file: string) => boolean): boolean {
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
    isWhole = visitBelow(path, device, visit) && isWhole && root === "/";
  }
  return isWhole;
}

function visitBelow(directory: string, device: bigint, visit: (path: string, file: string) => boolean): boolean {
  const entries = visibly(() => readDirectory(directory));
  if (entries === undefined) return false;
  let isWhole = true;
  for (const { name, isDirectory, isFile, inode } of entries) {
    const path = `${directory}/${name}`;
    if (isDirectory) isWhole = visitBelow(path, device, visit) && isWhole;
    if (isFile) isWhole = visit(path, `${device} ${inode}`) && isWhole;
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
    close(fd);
  }
}
