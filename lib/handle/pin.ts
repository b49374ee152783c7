/** Pins of handles: what links, programs and maps do alike. */
import { checkPath } from "../check.ts";
import { BpfError } from "../error.ts";
import { close, isOnBpffs, unlink } from "../os/files.ts";
import { objGet, objPin } from "../sys/object.ts";
import { EEXIST, EPERM } from "../uapi/errno.ts";

/** Pins an fd and returns the path as it is remembered. */
export function pin(fd: number, path: string | URL): string {
  const file = checkPath(path, "path");
  try {
    objPin(fd, file);
  } catch (error) {
    if (!(error instanceof BpfError && error.code === "EPERM") || error.reason === "capability") throw error;
    checkPinnable(file, error); // EPERM of OBJ_PIN means one of three things
    throw new BpfError(error.errno, {
      action: `Cannot pin to "${file}"`,
      command: error.command,
      reason: "policy",
      meaning: "a security module or the mount refuses it",
      cause: error,
    });
  }
  return file;
}

/** Refuses a path where nothing can be pinned. */
export function checkPinnable(path: string, cause?: BpfError): void {
  const directory = directoryOf(path);
  const init = { action: `Cannot pin to "${path}"`, command: "OBJ_PIN", reason: "invalid", cause } as const;
  if (!isOnBpffs(directory)) {
    throw new BpfError(EPERM, {
      ...init,
      meaning: `"${directory}" lies on no bpf file system`,
      hint: "choose a path below a bpf mount, such as /sys/fs/bpf",
    });
  }
  if (path.includes(".", path.lastIndexOf("/") + 1)) {
    throw new BpfError(EPERM, {
      ...init,
      meaning: "the name of a pin may have no dot",
      hint: "choose a name without a dot",
    });
  }
}

/** The directory that a path lies in. */
export function directoryOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : path.slice(0, slash) || "/";
}

/** Removes the pin at `path` if it still holds the object that `isOurs` knows; `what` names that in an error. */
export function unpin(path: string, what: string, isOurs: (fd: number) => boolean): void {
  const fd = objGet(path);
  try {
    if (!isOurs(fd)) {
      throw new BpfError(EEXIST, {
        action: `Cannot unpin ${what}`,
        command: "unlinkat",
        reason: "mismatch",
        meaning: `"${path}" holds another object now`,
        hint: "somebody replaced the pin; remove it by its path if that is meant",
      });
    }
    unlink(path);
  } finally {
    close(fd);
  }
}
