/** A terminal of which one program has the whole screen, and every key. */
import { writeAll } from "./command.ts";
import { shorten } from "./table.ts";

const ENTER = "\x1b[?1049h\x1b[?25l", LEAVE = "\x1b[?25h\x1b[?1049l"; // a screen of its own, without a cursor
const HOME = "\x1b[H", TO_END_OF_LINE = "\x1b[K", TO_END = "\x1b[J";

/** The names of keys that are more than a character, by what a terminal sends for them. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ["\x03", "interrupt"],
  ["\x1b", "escape"],
  ["\r", "enter"],
  ["\n", "enter"],
  ["\x7f", "backspace"],
  ["\b", "backspace"],
  ["\x1b[A", "up"],
  ["\x1bOA", "up"],
  ["\x1b[B", "down"],
  ["\x1bOB", "down"],
  ["\x1b[5~", "page up"],
  ["\x1b[6~", "page down"],
  ["\x1b[H", "home"],
  ["\x1b[F", "end"],
]);

/** The keys in what a terminal sent: characters, and names of others; unknown ones are left out. */
export function keysIn(text: string): string[] {
  // deno-lint-ignore no-control-regex
  return Array.from(text.matchAll(/\x1b[[O][\d;]*[~A-Za-z]|[^]/gu), ([all]) => NAMES.get(all) ?? all)
    .filter((key) => !/^\p{Cc}/u.test(key));
}

/** Takes the terminal until the end of the scope; keys are not shown meanwhile. */
export class Terminal implements AsyncDisposable {
  readonly #input: ReadableStreamDefaultReader<Uint8Array> | undefined;

  /** @param onKey What is done with each key; there are none if input is no terminal. */
  constructor(onKey: (key: string) => void) {
    if (Deno.stdin.isTerminal()) {
      Deno.stdin.setRaw(true);
      this.#input = Deno.stdin.readable.getReader();
      this.#read(this.#input, onKey);
    }
    writeAll(Deno.stdout, ENTER);
  }

  async #read(input: ReadableStreamDefaultReader<Uint8Array>, onKey: (key: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for (let part; !(part = await input.read()).done;) {
      keysIn(decoder.decode(part.value, { stream: true })).forEach(onKey);
    }
  }

  /** Shows lines; what they do not fill is empty. The one of number `bold` stands out. */
  show(lines: readonly string[], columns: number, bold?: number): void {
    const text = lines.map((line, i) => {
      const short = shorten(line, columns);
      return (i === bold && !Deno.noColor ? `\x1b[1m${short}\x1b[0m` : short) + TO_END_OF_LINE;
    });
    writeAll(Deno.stdout, `${HOME}${text.join("\r\n")}${TO_END}`);
  }

  /** Gives it back as it was. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#input !== undefined) {
      Deno.stdin.setRaw(false);
      await this.#input.cancel();
    }
    writeAll(Deno.stdout, LEAVE);
  }
}
