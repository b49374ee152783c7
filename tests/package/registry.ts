/** A registry on loopback that serves a staged package as JSR does: `JSR_URL` points Deno to it. */
import { join, relative } from "node:path";

/** What Deno asked the registry for, in order. */
export type Requests = readonly string[];

/** A registry with one version of one package. */
export class Registry implements AsyncDisposable {
  /** For the environment variable `JSR_URL`. */
  readonly url: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #requests: string[] = [];

  private constructor(folder: string, answers: ReadonlyMap<string, string>) {
    const serve = async (request: Request): Promise<Response> => {
      const { pathname } = new URL(request.url);
      this.#requests.push(pathname);
      const answer = answers.get(pathname);
      if (answer === undefined) return new Response("not found", { status: 404 });
      const type = pathname.endsWith(".json") ? "application/json" : "text/javascript";
      const body = answer.startsWith("{") ? answer : await Deno.readFile(`${folder}/${answer}`);
      return new Response(body, { headers: { "content-type": pathname.endsWith(".ts") ? "text/typescript" : type } });
    };
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, serve);
    this.url = `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  /** Serves the staged package in `folder`. */
  static async serve(folder: string): Promise<Registry> {
    const { name, version, exports } = JSON.parse(Deno.readTextFileSync(`${folder}/deno.json`));
    const [scope, own] = name.slice(1).split("/");
    const meta = { scope, name: own, latest: version, versions: { [version]: { createdAt: "2026-01-01T00:00:00Z" } } };
    const files = [...Deno.readDirSync(folder)].map(({ name }) => name);
    const manifest: Record<string, unknown> = {};
    for (const file of files) {
      const bytes = Deno.readFileSync(`${folder}/${file}`);
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
      manifest[`/${file}`] = { size: bytes.length, checksum: `sha256-${digest}` };
    }
    const moduleGraph2 = await moduleGraph(folder, Object.values<string>(exports));
    const answers = new Map([
      [`/${name}/meta.json`, JSON.stringify(meta)],
      [`/${name}/${version}_meta.json`, JSON.stringify({ manifest, moduleGraph2, exports })],
      ...files.map((file) => [`/${name}/${version}/${file}`, file] as const),
    ]);
    return new Registry(folder, answers);
  }

  /** The paths that were asked for since the last call. */
  takeRequests(): Requests {
    const requests = this.#requests;
    this.#requests = [];
    return requests;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** A module as `deno info` describes it. */
interface ModuleInfo {
  readonly specifier: string;
  readonly dependencies?: readonly Dependency[];
  readonly typesDependency?: { readonly specifier: string; readonly dependency: Place };
}

interface Dependency {
  readonly specifier: string;
  readonly code?: Place;
  readonly type?: Place;
  readonly isDynamic?: boolean;
}

interface Place {
  readonly span: Readonly<Record<"start" | "end", { readonly line: number; readonly character: number }>>;
}

/** What each module imports, and where its types are: from this Deno fetches all of them at once. */
async function moduleGraph(folder: string, entries: readonly string[]): Promise<Record<string, unknown>> {
  const graph: Record<string, unknown> = {};
  // asked for all at once: an emulated processor takes seconds to start Deno
  const all = Deno.makeTempFileSync({ suffix: ".js" });
  try {
    Deno.writeTextFileSync(all, entries.map((entry) => `import "file://${join(folder, entry)}";\n`).join(""));
    const args = ["info", "--json", "--no-config", all];
    const { stdout } = await new Deno.Command(Deno.execPath(), { args, cwd: folder }).output();
    const { modules }: { modules: readonly ModuleInfo[] } = JSON.parse(new TextDecoder().decode(stdout));
    for (const { specifier, dependencies = [], typesDependency } of modules) {
      const path = relative(folder, specifier.replace("file://", ""));
      if (!specifier.startsWith("file:") || path.startsWith("..")) continue;
      graph[`/${path}`] = {
        dependencies: dependencies.map(describe),
        ...typesDependency &&
          { selfTypesSpecifier: { text: typesDependency.specifier, range: range(typesDependency.dependency) } },
      };
    }
    return graph;
  } finally {
    Deno.removeSync(all);
  }
}

/** As the registry has it. */
function describe({ specifier, code, type, isDynamic }: Dependency): Record<string, unknown> {
  const at = range(code ?? type!);
  return isDynamic
    ? { type: "dynamic", argument: specifier, argumentRange: at }
    : { type: "static", kind: "import", specifier, specifierRange: at };
}

function range({ span: { start, end } }: Place): [[number, number], [number, number]] {
  return [[start.line, start.character], [end.line, end.character]];
}
