/** The file system that a machine starts with: a cpio archive in the format "newc", which the kernel unpacks. */

const REGULAR = 0o100000, DIRECTORY = 0o40000, PERMISSIONS = 0o7777;

/** Writes files, and the folders above them, into an archive. */
export class Archive implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #seen = new Set<string>();
  #inode = 1;

  /** Creates the archive's file. */
  constructor(path: string) {
    this.#file = Deno.openSync(path, { write: true, create: true, truncate: true });
  }

  /** Adds a file of this machine, by default under its own path; symbolic links are followed. */
  add(path: string, source: string = path): void {
    if (this.#seen.has(path)) return;
    const mode = Deno.statSync(source).mode! & PERMISSIONS;
    this.#addFolders(path);
    this.#entry(path, REGULAR | mode, Deno.readFileSync(source));
  }

  /** Adds a file with this text. */
  addText(path: string, text: string): void {
    this.#entry(path, REGULAR | 0o644, new TextEncoder().encode(text));
  }

  #addFolders(path: string): void {
    for (let at = path.indexOf("/", 1); at > 0; at = path.indexOf("/", at + 1)) {
      const folder = path.slice(0, at);
      if (!this.#seen.has(folder)) this.#entry(folder, DIRECTORY | 0o755, new Uint8Array());
    }
  }

  #entry(path: string, mode: number, content: Uint8Array): void {
    this.#seen.add(path);
    const name = new TextEncoder().encode(path.replace(/^\//, "") + "\0");
    // inode, mode, user, group, links, time, size, devices (four), length of the name, checksum
    const fields = [this.#inode++, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const header = "070701" + fields.map((field) => field.toString(16).padStart(8, "0")).join("");
    this.#padded(new TextEncoder().encode(header), name);
    this.#padded(content);
  }

  /** Header and name together end on a multiple of four, and so does the content. */
  #padded(...pieces: Uint8Array[]): void {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    for (const piece of [...pieces, new Uint8Array(-length & 3)]) {
      for (let done = 0; done < piece.length;) done += this.#file.writeSync(piece.subarray(done));
    }
  }

  /** Ends the archive. */
  [Symbol.dispose](): void {
    this.#entry("TRAILER!!!", 0, new Uint8Array());
    this.#file.close();
  }
}
