/** What a terminal shows of the few commands that `bpflink` gives it. */

/** A character with its looks. */
export interface Cell {
  readonly text: string;
  readonly bold: boolean;
  readonly inverse: boolean;
}

/** A screen of so many columns and rows; it scrolls, and keeps what an alternate screen showed last. */
export class Screen {
  readonly columns: number;
  readonly #rows: number;
  #lines: Cell[][] = [[]];
  #row = 0;
  #column = 0;
  #bold = false;
  #inverse = false;
  #isOver = false;

  constructor(columns: number, rows: number) {
    this.columns = columns;
    this.#rows = rows;
  }

  /** Shows output of a program. */
  write(text: string): void {
    // deno-lint-ignore no-control-regex
    for (const [all, letters, command] of text.matchAll(/\x1b\[([?\d;]*)([A-Za-z])|[^]/gu)) {
      if (this.#isOver) return;
      if (command !== undefined) this.#command(command, letters!);
      else if (all === "\r") this.#column = 0;
      else if (all === "\n") this.#down();
      else if (all >= " ") this.#put(all);
    }
  }

  #down(): void {
    this.#row++;
    this.#lines[this.#row] ??= [];
  }

  #put(text: string): void {
    const line = this.#lines[this.#row]!;
    while (line.length < this.#column) line.push({ text: " ", bold: false, inverse: false });
    line[this.#column++] = { text, bold: this.#bold, inverse: this.#inverse };
  }

  #command(command: string, letters: string): void {
    if (command === "m") {
      for (const code of letters.split(";")) {
        if (code === "" || code === "0") this.#bold = this.#inverse = false;
        if (code === "1") this.#bold = true;
        if (code === "7") this.#inverse = true;
      }
    } else if (command === "H") {
      this.#row = this.#column = 0;
    } else if (command === "J") {
      this.#lines.length = this.#row + 1;
      this.#lines[this.#row]!.length = Math.min(this.#lines[this.#row]!.length, this.#column);
    } else if (command === "K") {
      this.#lines[this.#row]!.length = Math.min(this.#lines[this.#row]!.length, this.#column);
    } else if (command === "h" && letters === "?1049") {
      this.#lines = [[]];
      this.#row = this.#column = 0;
    } else if (command === "l" && letters === "?1049") this.#isOver = true;
  }

  /** The lines, without empty ones at the end. */
  get lines(): readonly (readonly Cell[])[] {
    const end = this.#lines.findLastIndex((line) => line.some(({ text }) => text !== " "));
    return this.#lines.slice(0, Math.min(end + 1, this.#rows));
  }
}
