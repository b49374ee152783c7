/**
 * A bpf file system that belongs to a user namespace: only there can tokens be made.
 *
 * It is begun inside the namespace and completed from outside, by who may say what it delegates.
 */
import { Call } from "../../../lib/ffi/symbols.ts";
import { Request } from "../../../lib/ffi/request.ts";
import * as sys from "../../../lib/sys/mod.ts";

const FSCONFIG_SET_STRING = 1n, FSCONFIG_CMD_CREATE = 6n;
const PIDFD_OPEN = 434, PIDFD_GETFD = 438; // on every architecture

/**
 * What a script prints in a user namespace, with an fd of the root of such a file system as `root` and the calls of
 * `@bpf/link/sys` in scope.
 *
 * @param delegates Mount options and their values, such as `delegate_cmds` and `any`.
 */
export async function inTokenNamespace(delegates: Readonly<Record<string, string>>, source: string): Promise<string> {
  const lib = new URL("../../../lib/", import.meta.url);
  const script = `
    import { ${Object.keys(sys).join(", ")} } from "${lib}sys/mod.ts";
    import { Call } from "${lib}ffi/symbols.ts";
    import { Request } from "${lib}ffi/request.ts";
    const call = (number, numbers, at, text) => {
      const request = new Request(48, 64);
      numbers.forEach((value, i) => request.u64(i * 8, value));
      if (at !== undefined) request.string(at, text);
      const result = request.system(number);
      if (result < 0) throw new Error(\`call \${number}: \${result}\`);
      return BigInt(result);
    };
    const context = call(Call.fsopen, [0n, 0n], 0, "bpf");
    console.log(Number(context));
    Deno.stdin.readSync(new Uint8Array(1)); // it is complete
    const mount = call(Call.fsmount, [context, 1n]);
    const root = Number(call(Call.openat, [mount, 0n, 0o2000000n], 8, "."));
    ${source}`;
  const child = new Deno.Command("unshare", {
    args: ["--user", "--map-root-user", "--mount", Deno.execPath(), "eval", "--no-config", "--no-lock", script],
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(child.stderr).text(),
    output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const orders = child.stdin.getWriter();
  try {
    const { value: context } = await output.read();
    if (context === undefined) throw new Error(await errors);
    complete(child.pid, Number(context), delegates);
    await orders.write(new Uint8Array(1));
    let text = "";
    for (let piece; (piece = await output.read()).value !== undefined;) text += piece.value;
    if (await errors !== "") throw new Error(await errors);
    return text.trimEnd();
  } finally {
    await orders.close().catch(() => {}); // it may have ended
    await child.status;
  }
}

/** Says what the file system that a process has begun delegates, and makes it. */
function complete(pid: number, contextOfChild: number, delegates: Readonly<Record<string, string>>): void {
  const libc = Deno.dlopen("libc.so.6", {
    syscall: { parameters: ["i64", "i64", "i64", "i64"], result: "i64" },
  });
  const process = Number(libc.symbols.syscall(BigInt(PIDFD_OPEN), BigInt(pid), 0n, 0n));
  const context = Number(libc.symbols.syscall(BigInt(PIDFD_GETFD), BigInt(process), BigInt(contextOfChild), 0n));
  try {
    for (const [name, value] of Object.entries(delegates)) {
      const request = new Request(48, 256).u64(0, BigInt(context)).u64(8, FSCONFIG_SET_STRING);
      request.string(16, name);
      request.string(24, value);
      check(request.system(Call.fsconfig));
    }
    check(new Request(48).u64(0, BigInt(context)).u64(8, FSCONFIG_CMD_CREATE).system(Call.fsconfig));
  } finally {
    for (const fd of [context, process]) sys.close(fd);
    libc.close();
  }
}

function check(result: number): void {
  if (result < 0) throw new Error(`fsconfig: ${result}`);
}
