/** tracing_multi: one program at many functions of the kernel. linkCreate() makes such links, Link reads them. */
import { assertEquals, assertThrows } from "@std/assert";
import { btfFind } from "../../../lib/ffi/btf.ts";
import { linkCreate } from "../../../lib/sys/mod.ts";
import { BpfError, Link, type LinkInfo, type Program, type Source } from "../../../mod.ts";
import { HardLinks } from "../../fixture/place/hard_links.ts";
import { answering } from "../../fixture/program/programs.ts";
import { Own } from "../../fixture/run/claims.ts";
import { kernelTest } from "../../fixture/run/kernel.ts";
import { countRuns } from "../../fixture/run/runs.ts";
import { fd, rows } from "../refusal/rows.ts";

/** Two functions that making a hard link comes by, and a cookie for each. */
const IDS = ["security_inode_link", "vfs_link"].map((name) => btfFind("function", name)!);
const COOKIES = [7n, 8n];

/** How often a program runs while a hard link is made: a session both before and after each function. */
const RUNS = { trace_fentry_multi: 2, trace_fexit_multi: 2, trace_fsession_multi: 4 } as const;

for (const attachType of ["trace_fentry_multi", "trace_fexit_multi", "trace_fsession_multi"] as const) {
  kernelTest(`tracing_multi: ${attachType}`, { needs: ["trampolines"], since: "7.2" }, async () => {
    using own = new Own();
    using program = answering(0, { type: "tracing", expectedAttachType: attachType });
    const fd = own.fd(linkCreate(program.fd, 0, attachType, { tracingMulti: { ids: IDS, cookies: COOKIES } }));
    using link = Link.fromFd(fd);
    const info = link.info();
    assertEquals(withoutAddresses(info), {
      type: "tracing_multi",
      id: link.id,
      programId: program.id,
      attachType,
      count: 2,
      btfObjectId: 1,
      functions: IDS.map((btfId, i) => ({ btfId, cookie: COOKIES[i] })).sort((a, b) => a.btfId - b.btfId),
    });
    for (const source of ["iterator", "syscall"] as const) assertEquals(await listed(source, link.id), info);
    assertEquals(await listed("proc", link.id), withoutAddresses(info));
    using links = new HardLinks();
    assertEquals(countRuns(program.id, () => void links.canLink()), RUNS[attachType]);
    assertEquals(assertThrows(() => link.update(program), BpfError).reason, "unsupported");
    assertEquals(assertThrows(() => link.detach(), BpfError).reason, "unsupported");
  });
}

/** The kernel reports addresses to those who may read symbols, and none in `/proc`. */
function withoutAddresses(info: LinkInfo): unknown {
  if (info.type !== "tracing_multi") return info;
  return { ...info, functions: info.functions.map(({ address: _, ...rest }) => rest) };
}

async function listed(source: Source, id: number): Promise<LinkInfo | undefined> {
  for await (const info of Link.infos({ source })) if (info.id === id) return info;
  return undefined;
}

const traceAll = (program: Program, ids: number[]) =>
  linkCreate(program.fd, 0, "trace_fentry_multi", { tracingMulti: { ids } });
const multiTracer = () => answering(0, { type: "tracing", expectedAttachType: "trace_fentry_multi" });

rows(
  { needs: ["trampolines"], since: "7.2" },
  [
    "a function twice",
    (own) => traceAll(own.use(multiTracer()), [1, 2].map(() => btfFind("function", "vfs_read")!)),
    "LINK_CREATE EINVAL invalid",
    /comes twice/,
  ],
  [
    "the same program twice, at many functions",
    (own) => {
      const program = own.use(multiTracer()), ids = [btfFind("function", "vfs_read")!];
      fd(own, traceAll(program, ids));
      return traceAll(program, ids);
    },
    "LINK_CREATE EBUSY busy",
    /attached to one of the functions already/,
  ],
  [
    "more functions than one link takes",
    (own) => traceAll(own.use(multiTracer()), new Array<number>(2 ** 20 + 1).fill(1)),
    "LINK_CREATE E2BIG limit",
    /2 \*\* 20/,
  ],
);
