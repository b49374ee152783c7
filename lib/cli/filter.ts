/** Options that choose among links. */
import { isVisible } from "../holders.ts";
import { cgroupNumber, deviceIndex } from "../names.ts";
import { type Arguments, type Options, UsageError } from "./arguments.ts";
import { isNumber, listOptions, numberFrom, SOURCE_OPTION, TYPE_HELP, TYPE_OPTION } from "./command.ts";
import type { Item } from "./item.ts";

export const FILTER_HELP: readonly string[] = [
  TYPE_HELP,
  "--device NAME|N      at this interface; a name is one of the own namespace",
  "--cgroup PATH        at this cgroup, not at those above and below",
  "--program ID|NAME    with this program",
  "--pid PID            that this process holds",
];

export const FILTER_OPTIONS: Options = {
  type: TYPE_OPTION,
  device: { type: "string" },
  cgroup: { type: "string" },
  program: { type: "string" },
  pid: { type: "string" },
  source: SOURCE_OPTION,
};

/** Whether an item is wanted; undefined if that cannot be told. */
type Filter = (item: Item) => boolean | undefined;

/** What the options choose; undefined if there are none. */
export function chooser(values: Arguments["values"]): Filter | undefined {
  const all = filters(values);
  if (all.length === 0) return undefined;
  return (item) => {
    const answers = all.map((isWanted) => isWanted(item));
    return answers.includes(false) ? false : answers.includes(undefined) ? undefined : true;
  };
}

function filters({ type, device, cgroup, program, pid }: Arguments["values"]): Filter[] {
  const chosen: Filter[] = [];
  if (type !== undefined) {
    const { types } = listOptions({ type });
    chosen.push(({ info }) => types!.includes(info.type));
  }
  if (typeof device === "string") {
    const isAnywhere = isNumber(device), index = isAnywhere ? Number(device) : deviceIndex(device);
    chosen.push(({ info, deviceName }) =>
      "ifindex" in info && info.ifindex === index && (isAnywhere || deviceName !== undefined)
    );
  }
  if (typeof cgroup === "string") {
    const id = cgroupNumber(cgroup);
    if (id === undefined) {
      throw new UsageError(`--cgroup must be a directory of a cgroup2 file system, not "${cgroup}"`);
    }
    chosen.push(({ info }) => "cgroupId" in info && info.cgroupId === id);
  }
  if (typeof program === "string") {
    const hasName = ({ programName }: Item) => programName === undefined ? undefined : programName === program;
    chosen.push(isNumber(program) ? ({ info }) => info.programId === Number(program) : hasName);
  }
  if (typeof pid === "string") {
    const number = numberFrom(pid, "--pid");
    const isHidden = !isVisible(number);
    const isHeld = ({ held }: Item) => held!.holders.some((it) => it.kind === "process" && it.pid === number);
    chosen.push((item) => isHeld(item) || (isHidden ? undefined : false));
  }
  return chosen;
}
