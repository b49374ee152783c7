/** What the file of a kind exports: what is special about its targets, its links, its hooks. */
import type { BpfError, Explanation } from "../error.ts";
import type { HandleKind } from "../handle/brand.ts";
import type { ProgramLoadOptions } from "../program.ts";
import type { ProgQuery } from "../sys/prog_query.ts";
import type { BpfLinkInfo, BpfLinkInfos, LinkCreateOptions } from "../sys/type/mod.ts";
import type { RecordReader } from "../sys/type/row.ts";
import type { AttachTypeName, LinkType, ProgramType } from "../uapi/constants.ts";

/** What every link's info has. */
export interface LinkInfoBase {
  /** The id, which the kernel gives once (until it has counted to 2 ** 31). */
  id: number;
  /** The id of the program; absent for struct_ops links, which hold a map. */
  programId?: number;
  /** Whether it is attached; absent where the kernel cannot tell. */
  attached?: boolean;
}

/** The arguments of LINK_CREATE, or of RAW_TRACEPOINT_OPEN, beside the program. */
export type Attachment = (LinkCreation | RawTracepointOpening) & {
  /** fds that were opened for the call, to be closed after it. */
  readonly temporary?: readonly number[];
};

/** Arguments of LINK_CREATE. */
export interface LinkCreation {
  readonly attachType: AttachTypeName;
  readonly targetFd: number;
  readonly options?: LinkCreateOptions | undefined;
}

/** Arguments of RAW_TRACEPOINT_OPEN. */
export interface RawTracepointOpening {
  readonly rawTracepoint: string | undefined;
  readonly cookie?: bigint | undefined;
}

/** A kind of target. */
export interface Kind<T, L extends LinkType, S> {
  /** The type of the link. */
  readonly linkType: L;
  /** The fields that a target may have. */
  readonly keys: readonly string[];
  /** Checks a target and turns it into the arguments of one call. */
  prepare(source: S, target: T): Attachment;
  /** The target in an error's words. */
  describe(target: T): string;
  /** What proves that this kernel and this process can do it. */
  readonly probe: () => ProbeRule;
  /** The types of the programs, where attach types do not choose them. */
  readonly programs?: readonly ProgramType[];
  /** What a refusal means here, where a further question says more than the errno. */
  whyRefused?(refusal: BpfError, target: T, attachment: Attachment, source: S): Explanation | undefined;
  /** Whether a live link is attached to what an attachment names; without it only a second link can say. */
  isAt?(info: BpfLinkInfos[L], attachment: LinkCreation): boolean;
  /** Its places, where the kernel can be asked what is attached there. */
  readonly hook?: HookKind<T>;
}

/** A link type, from the user's side. */
export interface LinkKind<L extends LinkType, I> {
  /** What the kernel reported of a link, in the terms of this package. */
  read(info: BpfLinkInfos[L]): I;
  /**
   * The same of a record of the iterator: `read` of what the type's record says, written out for each kind, so that the
   * compiler makes one object of two. Absent where info reports more than records.
   */
  readonly readRecord?: RecordReader<I>;
  /** Whether those words begin with what people call such a link, rather than by its type. */
  readonly whereSaysWhat?: true;
  /** What a link is attached to, in a few words. */
  where(info: I, names: PlaceNames): string;
  /** What links hold, if no program. */
  readonly holds?: HandleKind & "map";
  /**
   * Puts another program or map into a link, where the kernel's update alone is not safe. `attachType` is as what the
   * program is attached, where the type has several.
   */
  update?(
    linkFd: number,
    source: Held,
    expected: Held | undefined,
    action: () => string,
    attachType: AttachTypeName | undefined,
  ): void;
  /** The place that a link shares with others, and its order there, where the kernel cannot be asked for that. */
  shares?(info: I): { readonly place: string; readonly order: number };
}

/** A program or map that a link holds. */
export interface Held {
  readonly id: number;
  readonly fd: number;
  readonly type: string;
}

/** Names of what infos give numbers of. What takes a look at other files is absent where words are to be cheap and stable. */
export interface PlaceNames {
  readonly device: string | undefined;
  readonly cgroup: string | undefined;
  /** The network namespace in words; of an interface only if it is not the own one. */
  readonly netns?: string | undefined;
  readonly functions?: FunctionNames;
}

/** Names of functions; `undefined` for those that are not known. */
export interface FunctionNames {
  /** Of the kernel, by address. */
  inKernel(address: bigint): string | undefined;
  /** Of a file, by where they begin. */
  inFile(path: string, offset: number): string | undefined;
  /** By their id in the BTF of the kernel, or of another object or program. */
  inBtf(id: number, object: number | undefined): string | undefined;
}

// ---- hooks

/** The kinds of places that can be asked what is attached to them. */
export interface HookKind<T> {
  /** What a place is: the target of the question is an interface's number, or else an fd. */
  readonly at: "interface" | "netns" | "cgroup" | "map";
  /** The attach types of the places; none if there is no choice. */
  readonly attachTypes: readonly AttachTypeName[];
  /** Asks one of them. */
  ask(target: number, attachType: AttachTypeName | undefined, options: { netns?: number | undefined }): ProgQuery;
  /** Checks a target and looks at its place. */
  look(target: T): Look;
  /** How a command line names a place. */
  readonly words: string;
  /** The target that the words of a command line name. */
  fromWords(where: string, which: string | undefined, more: HookWords): object;
}

/** What else a command line says of a place. */
export interface HookWords {
  readonly netns: string | undefined;
  /** Opens the map of this id or pin. */
  openMap(where: string): object;
}

/** A program that is attached to a hook, as the kernel reports it. */
export interface FoundEntry {
  readonly programId: number;
  readonly linkId?: number;
  readonly attachFlags: number;
}

/** What a look at a place shows. Where the kernel does not report the links, `isLink` knows those that may be meant. */
export interface Look {
  readonly revision: bigint | undefined;
  readonly entries: readonly FoundEntry[];
  readonly effective: readonly FoundEntry[];
  readonly isLink?: ((info: BpfLinkInfo, of: "entries" | "effective") => boolean) | undefined;
}

// ---- probes

/**
 * What proves that something can be done: a call that succeeds, or fails with this errno for one argument that names
 * nothing, at which the kernel looks last; or a function that the kernel has for it.
 */
export type Proof =
  | { readonly call: (programFd: number) => unknown; readonly errno?: string }
  | { readonly kernelFunction: string };

/** Something that can be done where all of `proofs` hold. */
export interface Ability {
  /** The kernel that brought it. */
  readonly since: string;
  /** What the kernel must be built with. */
  readonly config?: string;
  readonly proofs: readonly Proof[];
}

/** A program for links of a kind. A policy may refuse one and take another, so a kind may have several. */
export interface Example {
  readonly program: Omit<ProgramLoadOptions, "instructions">;
  /** What proves with this program that it can be attached, beside {@linkcode ProbeRule.attach}. */
  readonly proofs?: readonly Proof[];
}

/** What proves what can be done with targets of a kind; what is absent no kernel can. */
export interface ProbeRule {
  /** The first that loads is part of every proof. */
  readonly examples: readonly Example[];
  readonly attach: Ability;
  readonly update?: Ability;
  readonly detach?: Ability;
  readonly position?: Ability;
  /** The kernel since which programs can read a cookie. */
  readonly cookie?: string;
}

/** An ability as old as links of the kind. */
export function always({ since }: { readonly since: string }): Ability {
  return { since, proofs: [] };
}
