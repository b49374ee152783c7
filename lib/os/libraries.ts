/** Shared libraries by the names that programs load them by. */
import { BpfError } from "../error.ts";
import { isAbsent, isNoAnswer, unlessGone, unlessRefused, visibly } from "../refusal.ts";
import { ENOENT, ESRCH } from "../uapi/errno.ts";
import { closeIfOpen, open, readTextFile, readToEnd, statPath } from "./files.ts";

const CACHE = "/etc/ld.so.cache";
/** Where loaders look that have no cache, or beyond it. */
function directories(): string[] {
  const { arch } = Deno.build; // other runtimes may import the package
  return [
    `/lib/${arch}-linux-gnu`,
    `/usr/lib/${arch}-linux-gnu`,
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
  ];
}

/** Whether a path is a name by which programs load a library, as `libc.so.6`. */
export function isLibraryName(path: string): boolean {
  return /^[^/]+\.so(\.[^/]+)?$/.test(path);
}

/** The file of a library: that which a new process loads, or which a process has loaded. */
export function findLibrary(name: string, pid: number | undefined): string {
  return pid === undefined ? installed(name) : loaded(name, pid);
}

function installed(name: string): string {
  let refusal: BpfError | undefined;
  const look = <T>(ask: () => T): T | undefined => {
    try {
      return ask();
    } catch (error) {
      if (!(error instanceof BpfError) || isNoAnswer(error)) throw error;
      if (!isAbsent(error)) refusal ??= error;
      return undefined;
    }
  };
  const isThere = (path: string) => look(() => statPath(path)) !== undefined;
  const found = look(cached)?.find((library) => library.name === name)?.path;
  if (found !== undefined && isThere(found)) return found;
  const path = directories().map((directory) => `${directory}/${name}`).find(isThere);
  if (path !== undefined) return path;
  if (refusal !== undefined) throw refusal; // it may be where nobody could look
  throw notFound(name, `no such library is in ${CACHE} or ${directories().join(", ")}`);
}

/** The file that a process has mapped under this name; by a path that opens the file even if it was replaced. */
function loaded(name: string, pid: number): string {
  const maps = unlessGone(() => readTextFile(`/proc/${pid}/maps`));
  if (maps === undefined) {
    throw new BpfError(ESRCH, {
      action: `Cannot find target.path "${name}"`,
      command: "openat",
      reason: "gone",
      meaning: `there is no process ${pid}`,
    });
  }
  // 7f2a8c028000-7f2a8c1bd000 r-xp 00028000 fe:00 1234    /usr/lib/x86_64-linux-gnu/libc.so.6
  const files = new Map<string, { range: string; inode: string }>();
  for (const [, range, inode, path] of maps.matchAll(/^([0-9a-f]+-[0-9a-f]+) \S+ \S+ \S+ (\d+) +(\/.*)$/gm)) {
    files.set(path!, { range: range!, inode: inode! });
  }
  for (const [path, { range }] of files) {
    // there the addresses have no zeroes in front
    if (path.endsWith(`/${name} (deleted)`)) return `/proc/${pid}/map_files/${range.replace(/\b0+(?=\w)/g, "")}`;
    if (path.endsWith(`/${name}`)) return asSeenHere(path, pid);
  }
  // the name may be that of a symbolic link beside the file
  const inodes = new Set(Array.from(files.values(), ({ inode }) => inode));
  for (const directory of new Set(Array.from(files.keys(), (path) => path.slice(0, path.lastIndexOf("/"))))) {
    const path = `${directory}/${name}`, there = visibly(() => statPath(`/proc/${pid}/root${path}`));
    if (there !== undefined && inodes.has(there.inode.toString())) return asSeenHere(path, pid);
  }
  throw notFound(name, `process ${pid} has loaded no such library`);
}

/** A path of a process: the same path if it leads to the same file here, else one by way of the process. */
function asSeenHere(path: string, pid: number): string {
  const there = `/proc/${pid}/root${path}`;
  const [here, file] = [path, there].map((each) => visibly(() => statPath(each)));
  const isSame = file === undefined || (here?.inode === file.inode && here.device === file.device);
  return isSame ? path : there;
}

function notFound(name: string, meaning: string): BpfError {
  return new BpfError(ENOENT, {
    action: `Cannot find target.path "${name}"`,
    command: "openat",
    reason: "gone",
    meaning,
    hint: `give its path; a file of the working directory is "./${name}"`,
  });
}

/** The libraries of this architecture that the loader of the GNU C library knows; other C libraries have no such file. */
function cached(): { name: string; path: string }[] {
  const fd = open(CACHE);
  let bytes;
  try {
    bytes = readToEnd(fd);
  } finally {
    closeIfOpen(fd);
  }
  const MAGIC = "glibc-ld.so.cache1.1",
    CACHE_HEADER = 48,
    CACHE_ENTRY = 24,
    OURS = Deno.build.arch === "x86_64" ? 3 : 10;
  const text = new TextDecoder("latin1").decode(bytes), start = text.indexOf(MAGIC);
  if (start < 0) return [];
  const view = new DataView(bytes.buffer, start);
  if (view.byteLength < CACHE_HEADER) return [];
  const count = Math.min(view.getUint32(20, true), Math.floor((view.byteLength - CACHE_HEADER) / CACHE_ENTRY));
  const string = (at: number) => text.slice(start + at, text.indexOf("\0", start + at));
  return Array.from({ length: count }, (_, i) => CACHE_HEADER + i * CACHE_ENTRY)
    // of this architecture, and for any processor: flags, name, path, version, hardware
    .filter((at) => view.getUint8(at + 1) === OURS && view.getBigUint64(at + 16, true) === 0n)
    .map((at) => ({ name: string(view.getUint32(at + 4, true)), path: string(view.getUint32(at + 8, true)) }));
}

/** Where a file would be that is called by a name alone: a library, or a program. */
export function placesOf(name: string): string[] {
  const libraries = (unlessRefused(cached) ?? []).map((library) => library.name).filter((library) =>
    library.startsWith(`${name}.so`)
  );
  return [...libraries, ...PROGRAMS.map((directory) => `${directory}/${name}`).filter(exists)];
}

const PROGRAMS = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/** Whether there is such a file, as far as the caller can see. */
export function exists(path: string): boolean {
  return unlessRefused(() => statPath(path)) !== undefined;
}
