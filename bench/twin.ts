/** The C program of `twin.c`, compiled on the spot; how it and its peers are driven, round by round. */

/** Compiles it to `binary` and returns that; says why not where that cannot be done. */
export function compileTwin(binary: string): string | undefined {
  const source = new URL("twin.c", import.meta.url).pathname;
  try {
    const args = ["-O2", "-Wall", "-pthread", "-o", binary, source, "-lbpf"];
    const { success, stderr } = new Deno.Command("cc", { args }).outputSync();
    if (success) return binary;
    console.log(`Skipping the rows against C: twin.c does not compile; install libbpf-dev`);
    console.log(new TextDecoder().decode(stderr));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.log("Skipping the rows against C: there is no compiler; install gcc and libbpf-dev");
  }
  return undefined;
}

/** A program, running. It ends with the scope, and its links with it. */
export class Twin implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #questions: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #answers: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;

  constructor(binary: string, ...args: string[]) {
    this.#process = new Deno.Command(binary, { args, stdin: "piped", stdout: "piped" }).spawn();
    this.#questions = this.#process.stdin.getWriter();
    this.#answers = this.#process.stdout.getReader();
  }

  /** The nanoseconds that each of `count` operations takes in one round. */
  async round(operation: string, count: number): Promise<number> {
    await this.#questions.write(new TextEncoder().encode(`${operation} ${count}\n`));
    const { value } = await this.#answers.read();
    if (value === undefined) throw new Error("The program that was to be measured ended");
    return Number(new TextDecoder().decode(value));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#questions.close();
    await this.#answers.cancel();
    await this.#process.status;
  }
}
