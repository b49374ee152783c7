/** The package against its contract: the compiler compares the types, so this file has failed if it does not compile. */
import { assert, assertEquals } from "@std/assert";
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
  AssertTrue<Same<mod.AttachTypeName, contract.AttachTypeName>>,
  AssertTrue<Same<mod.CgroupAttachTypeName, contract.CgroupAttachTypeName>>,
  AssertTrue<Same<mod.ProgramTypeName, contract.ProgramTypeName>>,
  AssertTrue<Same<mod.MapTypeName, contract.MapTypeName>>,
  AssertTrue<Same<mod.Device, contract.Device>>,
  AssertTrue<Same<mod.Netns, contract.Netns>>,
  AssertTrue<Same<mod.LinkAnchor, contract.LinkAnchor>>,
  AssertTrue<Same<mod.Anchor, contract.Anchor>>,
  AssertTrue<Same<mod.Position, contract.Position>>,
  AssertTrue<Same<mod.CgroupOrder, contract.CgroupOrder>>,
  AssertTrue<Same<mod.CgroupTarget, contract.CgroupTarget>>,
  AssertTrue<Same<mod.XdpTarget, contract.XdpTarget>>,
  AssertTrue<Same<mod.TcxTarget, contract.TcxTarget>>,
  AssertTrue<Same<mod.NetkitTarget, contract.NetkitTarget>>,
  AssertTrue<Same<mod.NetfilterTarget, contract.NetfilterTarget>>,
  AssertTrue<Same<mod.NetnsTarget, contract.NetnsTarget>>,
  AssertTrue<Same<mod.SockmapTarget, contract.SockmapTarget>>,
  AssertTrue<Same<mod.StructOpsTarget, contract.StructOpsTarget>>,
  AssertTrue<Same<mod.IterTarget, contract.IterTarget>>,
  AssertTrue<Same<mod.PerfEvent, contract.PerfEvent>>,
  AssertTrue<Same<mod.PerfEventTarget, contract.PerfEventTarget>>,
  AssertTrue<Same<mod.TracepointTarget, contract.TracepointTarget>>,
  AssertTrue<Same<mod.KprobeTarget, contract.KprobeTarget>>,
  AssertTrue<Same<mod.UprobeTarget, contract.UprobeTarget>>,
  AssertTrue<Same<mod.KprobeMultiTarget, contract.KprobeMultiTarget>>,
  AssertTrue<Same<mod.UprobeMultiTarget, contract.UprobeMultiTarget>>,
  AssertTrue<Same<mod.KprobeInfo, contract.KprobeInfo>>,
  AssertTrue<Same<mod.UprobeInfo, contract.UprobeInfo>>,
  AssertTrue<Same<mod.TracepointInfo, contract.TracepointInfo>>,
  AssertTrue<Same<mod.EventInfo, contract.EventInfo>>,
  AssertTrue<Same<mod.UnknownEventInfo, contract.UnknownEventInfo>>,
  AssertTrue<Same<mod.KprobeMultiInfo, contract.KprobeMultiInfo>>,
  AssertTrue<Same<mod.UprobeMultiInfo, contract.UprobeMultiInfo>>,
  AssertTrue<Same<mod.RawTracepointTarget, contract.RawTracepointTarget>>,
  AssertTrue<Same<mod.TpBtfTarget, contract.TpBtfTarget>>,
  AssertTrue<Same<mod.TracingTarget, contract.TracingTarget>>,
  AssertTrue<Same<mod.TargetType, contract.TargetType>>,
  AssertTrue<Same<mod.AttachTarget, contract.AttachTarget>>,
  AssertTrue<Same<mod.LinkInfoBase, contract.LinkInfoBase>>,
  AssertTrue<Same<mod.RawTracepointInfo, contract.RawTracepointInfo>>,
  AssertTrue<Same<mod.CgroupInfo, contract.CgroupInfo>>,
  AssertTrue<Same<mod.IterInfo, contract.IterInfo>>,
  AssertTrue<Same<mod.NetnsInfo, contract.NetnsInfo>>,
  AssertTrue<Same<mod.SockmapInfo, contract.SockmapInfo>>,
  AssertTrue<Same<mod.StructOpsInfo, contract.StructOpsInfo>>,
  AssertTrue<Same<mod.MapCreateOptions, contract.MapCreateOptions>>,
  AssertTrue<Same<mod.MapInfo, contract.MapInfo>>,
  AssertTrue<Same<mod.ProgramRun, contract.ProgramRun>>,
  AssertTrue<Same<mod.ProgramRunOptions, contract.ProgramRunOptions>>,
  AssertTrue<Same<mod.XdpInfo, contract.XdpInfo>>,
  AssertTrue<Same<mod.TcxInfo, contract.TcxInfo>>,
  AssertTrue<Same<mod.NetkitInfo, contract.NetkitInfo>>,
  AssertTrue<Same<mod.NetfilterInfo, contract.NetfilterInfo>>,
  AssertTrue<Same<mod.TracingInfo, contract.TracingInfo>>,
  AssertTrue<Same<mod.TracingMultiInfo, contract.TracingMultiInfo>>,
  AssertTrue<Same<mod.UnknownInfo, contract.UnknownInfo>>,
  AssertTrue<Same<mod.AttachOptions, contract.AttachOptions>>,
  AssertTrue<Same<mod.Source, contract.Source>>,
  AssertTrue<Same<mod.ListOptions, contract.ListOptions>>,
  AssertTrue<Same<mod.LinkListing, contract.LinkListing>>,
  AssertTrue<Same<mod.LinkWatcher, contract.LinkWatcher>>,
  AssertTrue<Same<mod.LinkEvent, contract.LinkEvent>>,
  AssertTrue<Same<mod.WaitOptions, contract.WaitOptions>>,
  AssertTrue<Same<mod.LinkHolder, contract.LinkHolder>>,
  AssertTrue<Same<mod.HoldersOptions, contract.HoldersOptions>>,
  AssertTrue<Same<mod.LinkHolders, contract.LinkHolders>>,
  AssertTrue<Same<mod.LinkGroup, contract.LinkGroup>>,
  AssertTrue<Same<mod.EnsuredLink, contract.EnsuredLink>>,
  AssertTrue<Same<mod.AttachEntry, contract.AttachEntry>>,
  AssertTrue<Same<mod.HookTarget, contract.HookTarget>>,
  AssertTrue<Same<mod.HookEntry, contract.HookEntry>>,
  AssertTrue<Same<mod.ProgramLoadOptions, contract.ProgramLoadOptions>>,
  AssertTrue<Same<mod.ProgramInfo, contract.ProgramInfo>>,
  AssertTrue<Same<mod.ProbeAnswer, contract.ProbeAnswer>>,
  AssertTrue<Same<mod.TargetProbe, contract.TargetProbe>>,
];

export type TargetOfEach = AssertTrue<
  {
    [K in keyof mod.AttachTargets | contract.TargetType]: Same<mod.AttachTargets[K], contract.AttachTargets[K]>;
  }[keyof mod.AttachTargets | contract.TargetType]
>;
export type InfoNames = AssertTrue<Same<keyof mod.LinkInfos, keyof contract.LinkInfos>>;
export type InfoOfEach = AssertTrue<
  {
    [K in keyof contract.LinkInfos]: Same<
      ReturnType<typeof mod.Link.prototype.info<mod.Link<K>>>,
      contract.LinkInfos[K]
    >;
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
export type EnsurePinnedOfEach = AssertTrue<
  {
    [K in contract.TargetType]: typeof mod.Link.ensurePinned<K> extends contract.EnsurePinned<K> ? true : false;
  }[contract.TargetType]
>;

// Assignments, where the compiler can say what does not fit.
const iterLink = (link: mod.Link<"iter">): contract.IterLinkShape => link;
const program = (it: mod.Program): contract.ProgramShape => it;
const map = (it: mod.BpfMap): contract.BpfMapShape => it;
const hook = (it: mod.Hook): contract.HookShape => it;
const error = (it: mod.BpfError): contract.BpfErrorShape => it;
const module: contract.Module = mod;

Deno.test("the package fits its contract", () => {
  for (const value of [iterLink, program, map, hook, error, ...Object.values(module)]) assert(value);
});

Deno.test("each target and each info that the package exports is in the contract, and compared with it above", () => {
  const text = (path: string) => Deno.readTextFileSync(new URL(path, import.meta.url));
  const names = (path: string, pattern: RegExp) =>
    [...new Set(Array.from(text(path).matchAll(pattern), ([, name]) => name))].sort();
  const exported = names("../../mod.ts", /\b(\w+(?:Target|Info))\b(?=,| })/g);
  const contracted = names("contract.ts", /^export (?:interface|type) (\w+(?:Target|Info))\b/gm);
  const compared = names("contract_test.ts", /Same<mod\.(\w+(?:Target|Info)), /g);
  // LinkInfo<T> is compared for each T
  assertEquals(exported.filter((name) => name !== "LinkInfo"), contracted);
  assertEquals(compared, contracted);
});
