/** The system calls that the native library makes, from its source. */

/** Their numbers by their names, as `OPENAT`. */
export function numbersOf(architecture: string): Record<string, number> {
  const source = Deno.readTextFileSync(new URL("../../ffi/core/src/syscall.rs", import.meta.url));
  const [, block = ""] = new RegExp(`target_arch = "${architecture}"\\)\\]\\npub mod nr \\{([^}]*)\\}`).exec(source) ??
    [];
  const numbers = [...block.matchAll(/pub const (\w+): usize = (\d+);/g)].map((
    [, name, number],
  ) => [name!, Number(number)]);
  return Object.fromEntries(numbers);
}
