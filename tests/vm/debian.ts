/** Packages of Debian, fetched and unpacked beside the machine's own lists and packages. */
import type { Architecture } from "./architecture.ts";
import { capture, run } from "./command.ts";

/** What is fetched once is kept here. */
export const CACHE = ".cache/vm";

/** Beside the folder that apt's own Debian mirror is in: programs, kernels 6.1 and 6.12, newer ones, 5.10. */
const SUITES = ["debian bookworm", "debian-security bookworm-security", "debian trixie-backports", "debian bullseye"];

/** Debian's packages for an architecture, in a folder that is removed at the end. */
export class Debian implements Disposable {
  /** The folder. */
  readonly work: string;
  readonly #architecture: Architecture["name"];
  #options: readonly string[] = [];

  private constructor(architecture: Architecture["name"]) {
    this.#architecture = architecture;
    Deno.mkdirSync(CACHE, { recursive: true });
    this.work = Deno.makeTempDirSync({ dir: Deno.realPathSync(CACHE) });
  }

  static async open(architecture: Architecture["name"]): Promise<Debian> {
    const debian = new Debian(architecture);
    try {
      await debian.#update();
    } catch (error) {
      debian[Symbol.dispose]();
      throw error;
    }
    return debian;
  }

  /** What `apt-cache` says. */
  ask(...args: string[]): Promise<string> {
    return capture("apt-cache", [...this.#options, ...args]);
  }

  /** The folder into which packages are unpacked. */
  async unpack(packages: readonly string[]): Promise<string> {
    await run("apt-get", [...this.#options, "download", ...packages], this.work);
    for (const { name } of Deno.readDirSync(this.work)) {
      if (name.endsWith(".deb")) await run("dpkg", ["-x", name, "files"], this.work);
    }
    return `${this.work}/files`;
  }

  async #update(): Promise<void> {
    const { work } = this;
    for (const name of ["lists/partial", "archives/partial", "files"]) {
      Deno.mkdirSync(`${work}/${name}`, { recursive: true });
    }
    const sites = await this.#sites();
    const mirror = sites.split("\n").map((site) => site.replace(/\/$/, "")).find((site) => site.endsWith("/debian"));
    if (mirror === undefined) throw new Error("apt has no Debian mirror");
    const parent = mirror.slice(0, mirror.lastIndexOf("/"));
    const keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    const trust = `[arch=${this.#architecture} signed-by=${keys}]`;
    Deno.writeTextFileSync(
      `${work}/sources.list`,
      SUITES.map((suite) => `deb ${trust} ${parent}/${suite} main\n`).join(""),
    );
    this.#options = [
      "-qq",
      ...["-o", `APT::Architecture=${this.#architecture}`, "-o", "Dir::State::status=/dev/null"],
      ...["-o", `Dir::Etc::SourceList=${work}/sources.list`, "-o", "Dir::Etc::SourceParts=/dev/null"],
      ...["-o", `Dir::State::Lists=${work}/lists`, "-o", `Dir::Cache=${work}`],
      ...["-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false", "-o", "APT::Sandbox::User=root"],
    ];
    await run("apt-get", [...this.#options, "update"]);
  }

  /** Where the machine's own apt fetches from, one a line; it tells once it has lists. */
  async #sites(): Promise<string> {
    const ask = () => capture("apt-get", ["indextargets", "--format", "$(SITE)"]);
    const sites = await ask();
    if (sites !== "") return sites;
    await run("apt-get", ["-qq", "update"]);
    return await ask();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.work, { recursive: true });
  }
}

/** Files and symbolic links below a folder. */
export function* filesIn(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) yield* filesIn(`${folder}/${name}`);
    else yield `${folder}/${name}`;
  }
}

export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
