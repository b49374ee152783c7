/** Files of tracefs, where the kernel lists what can be traced; also where nobody has mounted it. */
import { BpfError, type Explanation } from "../error.ts";
import { Call } from "../ffi/symbols.ts";
import { ARGS, Request } from "../ffi/request.ts";
import { plain, type Refusals, refused } from "../refusal.ts";
import { ENOENT } from "../uapi/errno.ts";
import { FSCONFIG_CMD_CREATE, FSMOUNT_CLOEXEC, FSOPEN_CLOEXEC, O_CLOEXEC } from "../uapi/linux.ts";
import { lockedDown } from "./capabilities.ts";
import { close, closeIfOpen, open, OPENAT, readText } from "./files.ts";

const MOUNTED = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/** The text of a file of tracefs; `undefined` if there is none of this name. `instead` is what to do without. */
export function readTracefs(file: string, instead?: string): string | undefined {
  try {
    return readFile(file);
  } catch (error) {
    if (!(error instanceof BpfError && (error.code === "EACCES" || error.code === "EPERM"))) throw error;
    const { errno, command, reason, meaning, hint } = error;
    const why = error.code === "EACCES" ? FOR_ROOT : lockedDown("to read tracefs") ?? { reason, meaning, hint };
    throw new BpfError(errno, {
      action: `Cannot read "${file}" of tracefs`,
      command,
      ...why,
      hint: [why.hint, instead].filter((hint) => hint !== undefined).join("; or "),
    });
  }
}

const FOR_ROOT: Explanation = {
  reason: "capability",
  meaning: "tracefs is for root alone here, so it takes CAP_DAC_READ_SEARCH",
  hint: "give the process this capability too",
};

function readFile(file: string): string | undefined {
  const root = openRoot();
  try {
    const request = new Request(ARGS, 256).u64(0, BigInt(root)).u64(16, BigInt(O_CLOEXEC));
    request.string(8, file);
    const fd = request.system(Call.openat);
    if (fd >= 0) return readText(fd);
    if (fd === -ENOENT) return undefined;
    throw refused(fd, OPENAT, `Cannot open "${file}" of tracefs`);
  } finally {
    closeIfOpen(root);
  }
}

/** What errnos of a mount of tracefs mean. */
const FSOPEN: Refusals = {
  command: "fsopen",
  rows: () => ({
    EPERM: [
      "capability",
      "tracefs is not mounted, and mounting it needs CAP_SYS_ADMIN",
      "mount it at /sys/kernel/tracing, or give the process CAP_SYS_ADMIN",
    ],
    ENODEV: ["unsupported", "this kernel has no tracefs", "it was built without CONFIG_TRACING"],
  }),
};

/** An fd of its root: where it is mounted, or of a mount that nobody else sees and that ends with the fd. */
function openRoot(): number {
  for (const path of MOUNTED) {
    try {
      close(open(`${path}/events`)); // without a mount the directory is empty
      return open(path);
    } catch (error) {
      if (!(error instanceof BpfError && error.code === "ENOENT")) throw error;
    }
  }
  const request = new Request(ARGS, 64).u64(8, BigInt(FSOPEN_CLOEXEC));
  request.string(0, "tracefs");
  const context = request.system(Call.fsopen);
  if (context < 0) throw refused(context, FSOPEN, "Cannot open tracefs");
  try {
    const created = new Request(ARGS).u64(0, BigInt(context)).u64(8, BigInt(FSCONFIG_CMD_CREATE)).system(Call.fsconfig);
    if (created < 0) throw refused(created, plain("fsconfig"), "Cannot open tracefs");
    const root = new Request(ARGS).u64(0, BigInt(context)).u64(8, BigInt(FSMOUNT_CLOEXEC)).system(Call.fsmount);
    if (root < 0) throw refused(root, plain("fsmount"), "Cannot mount tracefs");
    return root;
  } finally {
    closeIfOpen(context);
  }
}
