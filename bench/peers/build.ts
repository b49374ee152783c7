/** Makes the programs that `peers.ts` compares, each with its own tool chain. */

const HERE = new URL(".", import.meta.url).pathname, CACHE = new URL("../../.cache/peers", import.meta.url).pathname;
const EM_BPF = 247; // the machine in the header of an ELF file

/** What each is made with. The first two are no peers, but what they need. */
const PARTS: Record<string, (to: string) => void> = {
  start: (to) => run("cc", ["-O2", "-Wall", "-o", to, `${HERE}start.c`]),
  "program.o": (to) => {
    run("cc", ["-c", "-o", to, `${HERE}program.S`]);
    const empty = [".text", ".data", ".bss", ".note.GNU-stack"].flatMap((section) => ["-R", section]);
    run("objcopy", [`--alt-machine-code=${EM_BPF}`, ...empty, to]);
  },
  cilium: (to) => {
    run("go", ["build", "-o", `${CACHE}/cilium`, "."], `${HERE}go`);
    Deno.copyFileSync(`${CACHE}/cilium`, to);
  },
  aya: (to) => cargo("aya", to),
  "libbpf-rs": (to) => cargo("libbpf-rs", to),
  bpftool: () => run("bpftool", ["version"]), // made by others: only to be there
};

/** Puts into `directory` what can be made; says why not of the rest. The tool chains make only what has changed. */
export function buildPeers(directory: string): void {
  Deno.mkdirSync(CACHE, { recursive: true });
  Deno.mkdirSync(directory);
  for (const [name, make] of Object.entries(PARTS)) {
    try {
      make(`${directory}/${name}`);
    } catch (error) {
      console.log(`Skipping the peer ${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
}

function cargo(name: string, to: string): void {
  run(
    "cargo",
    ["build", "--release", "--locked", "--features", name, "--bin", name, "--target-dir", CACHE],
    `${HERE}rust`,
  );
  Deno.copyFileSync(`${CACHE}/release/${name}`, to);
}

function run(command: string, args: string[], cwd = HERE): void {
  let output: Deno.CommandOutput;
  try {
    output = new Deno.Command(command, { args, cwd }).outputSync();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new Error(`${command} is not installed`);
    throw error;
  }
  if (!output.success) throw new Error(`${command} failed\n${new TextDecoder().decode(output.stderr)}`);
}
