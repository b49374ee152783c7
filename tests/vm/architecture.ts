/** What differs between the processors that machines have. */
export interface Architecture {
  /** Debian's name of it. */
  readonly name: "amd64" | "arm64";
  /** Deno's. */
  readonly processor: typeof Deno.build.arch;
  /** The emulator, and the package that has it. */
  readonly qemu: string;
  readonly package: string;
  /** Options of the emulator: the machine, and a second serial port. */
  readonly machine: readonly string[];
  readonly port: readonly string[];
  /** The kernel's console, and what it calls the second port. */
  readonly console: string;
  readonly portName: string;
}

export const AMD64: Architecture = {
  name: "amd64",
  processor: "x86_64",
  qemu: "qemu-system-x86_64",
  package: "qemu-system-x86",
  // All processors in one thread: with a thread each, the kernel's patching of its own code crashes now and then.
  // Five levels of page tables, and the keys of pages that V8 sets whenever it writes code, are slow to emulate.
  machine: ["-accel", "tcg,thread=single", "-cpu", "max,la57=off,pku=off"],
  port: ["-serial", "stdio"],
  // on a busy host the kernel would find that its timer does not work
  console: "console=ttyS0 no_timer_check",
  portName: "ttyS1",
};

export const ARM64: Architecture = {
  name: "arm64",
  processor: "aarch64",
  qemu: "qemu-system-aarch64",
  package: "qemu-system-arm",
  // New enough that the kernel need not switch page tables for each access to a process's memory, and too old for
  // pointer authentication, which is slow to emulate.
  machine: ["-M", "virt", "-accel", "tcg,thread=multi", "-cpu", "cortex-a76"],
  port: ["-chardev", "stdio,id=output", "-device", "pci-serial,chardev=output"],
  console: "console=ttyAMA0",
  portName: "ttyS0",
};
