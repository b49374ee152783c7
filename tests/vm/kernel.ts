/** Debian's cloud kernels, fetched once into `.cache`. */
import { AMD64, type Architecture } from "./architecture.ts";
import { run } from "./command.ts";
import { CACHE, Debian, exists, filesIn } from "./debian.ts";

/** The files of a kernel. */
export interface Kernel {
  readonly image: string;
  /** Paths of its modules. */
  readonly modules: readonly string[];
}

/** What the tests need and is not built in; none of them needs another module. */
const MODULES = ["veth", "dummy", "sch_ingress", "cls_bpf", "nf_defrag_ipv4", "nf_defrag_ipv6", "tcp_dctcp"];
/** What a network card takes besides, since 6.12; by name, each comes after those that it needs. */
const NETWORK = ["failover", "net_failover", "virtio_net"];

/** The newest kernel of a series, such as `6.12`; with a driver of a network card, if the machine has one. */
export async function kernel(
  series: string,
  architecture: Architecture = AMD64,
  hasNetwork: boolean = false,
): Promise<Kernel> {
  if (!/^\d+\.\d+$/.test(series)) throw new Error(`A kernel is named by its series, such as 6.12, not "${series}"`);
  const machine = architecture === AMD64 ? series : `${series}-${architecture.name}`;
  const [folder, modules] = hasNetwork ? [`${machine}-network`, [...MODULES, ...NETWORK]] : [machine, MODULES];
  const path = `${CACHE}/${folder}`;
  if (!exists(path)) await fetchInto(path, series, architecture.name, modules);
  const files = [...Deno.readDirSync(path)].map(({ name }) => `${path}/${name}`);
  return { image: `${path}/vmlinuz`, modules: files.filter((file) => file.endsWith(".ko")).sort() };
}

async function fetchInto(
  folder: string,
  series: string,
  architecture: Architecture["name"],
  modules: readonly string[],
): Promise<void> {
  console.log(`Fetching Linux ${series} for ${architecture}`);
  using debian = await Debian.open(architecture);
  const pattern = `^linux-image-${series.replace(".", "[.]")}[.].*-cloud-${architecture}$`;
  const found = await debian.ask("search", "--names-only", pattern);
  const names = found.split("\n").filter(Boolean).map((line) => line.split(" ")[0]!);
  const image = names.sort(new Intl.Collator("en", { numeric: true }).compare).at(-1);
  if (image === undefined) throw new Error(`Debian has no cloud kernel ${series} for ${architecture}`);
  // since 6.19 the kernel and its modules are packages of their own
  const parts = (await debian.ask("depends", image)).match(/linux-(binary|modules)-[^\s>]+/g) ?? [];
  const unpacked = await debian.unpack([image, ...parts]);
  const kept = `${debian.work}/kept`;
  Deno.mkdirSync(kept);
  for (const path of filesIn(unpacked)) {
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (name.startsWith("vmlinuz")) Deno.renameSync(path, `${kept}/vmlinuz`);
    if (!modules.includes(name.replace(/\.ko(\.xz)?$/, ""))) continue;
    Deno.renameSync(path, `${kept}/${name}`);
    if (name.endsWith(".xz")) await run("xz", ["-d", name], kept);
  }
  if (!exists(`${kept}/vmlinuz`)) throw new Error(`${image} has no kernel in it`);
  Deno.renameSync(kept, folder);
}
