/** Pins of handles: what links, programs and maps do alike. */
import { BpfError } from "./error.ts";
import { checkPath } from "./sys/check.ts";
import { objGet, objPin } from "./sys/object.ts";
import { close, isOnBpffs, unlink } from "./sys/system.ts";

/** Pins an fd and returns the path as it is remembered. */
export function pin(fd: number, path: string | URL): string {
  const file = checkPath(path, "path");
  try {
    objPin(fd, file);
  } catch (error) {
    throw error instanceof BpfError && error.code === "EPERM" ? whyNot(file, error) : error;
  }
  return file;
}

/** EPERM of OBJ_PIN means one of three things; this looks which. */
function whyNot(path: string, error: BpfError): BpfError {
  const slash = path.lastIndexOf("/");
  const directory = slash < 0 ? "." : path.slice(0, slash) || "/";
  const init = { action: `Cannot pin to "${path}"`, command: error.command, cause: error };
  if (!isOnBpffs(directory)) {
    return new BpfError(error.errno, {
      ...init,
      reason: "invalid",
      meaning: `"${directory}" lies on no bpf file system`,
      hint: "choose a path below a bpf mount, such as /sys/fs/bpf",
    });
  }
  if (path.includes(".", slash + 1)) {
    return new BpfError(error.errno, {
      ...init,
      reason: "invalid",
      meaning: "the name of a pin may have no dot",
      hint: "choose a name without a dot",
    });
  }
  return new BpfError(error.errno, { ...init, reason: "policy", meaning: "a security module or the mount refuses it" });
}

/** Removes the pin at `path` if it still holds the object that `isOurs` knows; `what` names that in an error. */
export function unpin(path: string, what: string, isOurs: (fd: number) => boolean): void {
  const fd = objGet(path);
  try {
    if (!isOurs(fd)) {
      throw new BpfError(17, {
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
