/** The package against its contract: the compiler compares the types, so this file has failed if it does not compile. */
import { assert } from "@std/assert";
import type { AssertTrue, IsExact } from "@std/testing/types";
import * as mod from "../../mod.ts";
import type * as contract from "./contract.ts";

/** Each is assignable to the other, and neither has a field that the other lacks. */
type Same<A, B> = [A] extends [B] ? [B] extends [A] ? IsExact<Fields<A>, Fields<B>> : false : false;
type Fields<T> = T extends string | number ? never
  : T extends object ? { all: keyof T; optional: OptionalFields<T> }
  : never;
type OptionalFields<T> = { [K in keyof T]-?: Record<never, never> extends Pick<T, K> ? K : never }[keyof T];

export type Plain = [
  AssertTrue<Same<mod.LinkType, contract.LinkType>>,
  AssertTrue<Same<mod.CgroupAttachType, contract.CgroupAttachType>>,
  AssertTrue<Same<mod.AttachType, contract.AttachType>>,
  AssertTrue<Same<mod.ProgramType, contract.ProgramType>>,
  AssertTrue<Same<mod.Device, contract.Device>>,
  AssertTrue<Same<mod.Netns, contract.Netns>>,
  AssertTrue<Same<mod.LinkAnchor, contract.LinkAnchor>>,
  AssertTrue<Same<mod.Anchor, contract.Anchor>>,
  AssertTrue<Same<mod.Position, contract.Position>>,
  AssertTrue<Same<mod.CgroupOrder, contract.CgroupOrder>>,
  AssertTrue<Same<mod.CgroupTarget, contract.CgroupTarget>>,
  AssertTrue<Same<mod.XdpTarget, contract.XdpTarget>>,
  AssertTrue<Same<mod.TcxTarget, contract.TcxTarget>>,
  AssertTrue<Same<mod.NetnsTarget, contract.NetnsTarget>>,
  AssertTrue<Same<mod.IterTarget, contract.IterTarget>>,
  AssertTrue<Same<mod.RawTracepointTarget, contract.RawTracepointTarget>>,
  AssertTrue<Same<mod.TargetType, contract.TargetType>>,
  AssertTrue<Same<mod.AttachTarget, contract.AttachTarget>>,
  AssertTrue<Same<mod.LinkInfoBase, contract.LinkInfoBase>>,
  AssertTrue<Same<mod.RawTracepointInfo, contract.RawTracepointInfo>>,
  AssertTrue<Same<mod.CgroupInfo, contract.CgroupInfo>>,
  AssertTrue<Same<mod.IterInfo, contract.IterInfo>>,
  AssertTrue<Same<mod.NetnsInfo, contract.NetnsInfo>>,
  AssertTrue<Same<mod.XdpInfo, contract.XdpInfo>>,
  AssertTrue<Same<mod.TcxInfo, contract.TcxInfo>>,
  AssertTrue<Same<mod.UnknownInfo, contract.UnknownInfo>>,
  AssertTrue<Same<mod.AttachOptions, contract.AttachOptions>>,
  AssertTrue<Same<mod.ProgramLoadOptions, contract.ProgramLoadOptions>>,
  AssertTrue<Same<mod.ProgramInfo, contract.ProgramInfo>>,
];

export type InfoOfEach = AssertTrue<
  {
    [K in keyof contract.LinkInfos]: Same<ReturnType<mod.Link<K>["info"]>, contract.LinkInfos[K]>;
  }[keyof contract.LinkInfos]
>;
export type LinkOfEach = AssertTrue<
  { [K in contract.LinkType]: mod.Link<K> extends contract.LinkShape<K> ? true : false }[contract.LinkType]
>;
export type AttachOfEach = AssertTrue<
  {
    [K in contract.TargetType]: typeof mod.Link.attach<K> extends contract.Attach<K>
      ? typeof mod.Link.attachAsync<K> extends contract.AttachAsync<K> ? true : false
      : false;
  }[contract.TargetType]
>;

// Assignments, where the compiler can say what does not fit.
const iterLink = (link: mod.Link<"iter">): contract.IterLinkShape => link;
const program = (it: mod.Program): contract.ProgramShape => it;
const error = (it: mod.BpfError): contract.BpfErrorShape => it;
const module: contract.Module = mod;

Deno.test("the package fits its contract", () => {
  for (const value of [iterLink, program, error, ...Object.values(module)]) assert(value);
});
