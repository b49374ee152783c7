/** Commands of the host. */

/** Runs a command; its failure is ours. */
export async function run(command: string, args: readonly string[], cwd = "."): Promise<void> {
  await output(command, args, cwd, "inherit");
}

/** The output of a command; its failure is ours. */
export async function capture(command: string, args: readonly string[], cwd = "."): Promise<string> {
  return new TextDecoder().decode(await output(command, args, cwd, "piped"));
}

async function output(
  command: string,
  args: readonly string[],
  cwd: string,
  stdout: "inherit" | "piped",
): Promise<Uint8Array> {
  const child = new Deno.Command(command, { args: [...args], cwd, stdin: "null", stdout, stderr: "inherit" });
  const result = await child.output();
  if (!result.success) throw new Error(`${command} ${args.at(-1)} failed`);
  return stdout === "piped" ? result.stdout : new Uint8Array();
}

/** Installs what the machine needs, where this may be done. */
export async function install(packages: Readonly<Record<string, string>>): Promise<void> {
  const missing: string[] = [];
  for (const [program, name] of Object.entries(packages)) {
    if (await which(program) === undefined) missing.push(name);
  }
  if (missing.length === 0) return;
  if (Deno.uid() !== 0) throw new Error(`Install these packages first: ${missing.join(", ")}`);
  console.log(`Installing ${missing.join(", ")}`);
  await run("apt-get", ["-qq", "update"]);
  await run("apt-get", ["-qqy", "install", "--no-install-recommends", ...missing]);
}

/** Where a program is. */
export async function which(program: string): Promise<string | undefined> {
  const { success, stdout } = await new Deno.Command("sh", { args: ["-c", 'command -v "$0"', program] }).output();
  return success ? new TextDecoder().decode(stdout).trim() : undefined;
}
