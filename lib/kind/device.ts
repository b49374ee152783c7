/** Targets that are a network interface, in this or another network namespace. */
import { checkDevice, close, deviceIndex } from "../sys/system.ts";
import { type Netns, openNetns } from "./attachment.ts";

/** A network interface, by name or number. */
export type Device = string | number;

/** The arguments for a target that is an interface, in this or another network namespace. */
export function interfaceTarget<O extends object>(
  target: { device: Device; netns?: Netns | undefined },
  options: O,
): { targetFd: number; options: O & { netns?: number }; temporary: readonly number[] } {
  checkDevice(target.device);
  if (target.netns === undefined) return { targetFd: deviceIndex(target.device), options, temporary: [] };
  const { fd, temporary } = openNetns(target.netns, "target.netns");
  try {
    return { targetFd: deviceIndex(target.device, fd), options: { ...options, netns: fd }, temporary };
  } catch (error) {
    temporary.forEach(close);
    throw error;
  }
}

export function describeInterface(target: { device: Device; netns?: Netns | undefined }): string {
  const device = typeof target.device === "string" ? `"${target.device}"` : `interface ${target.device}`;
  return target.netns === undefined ? device : `${device} in network namespace ${target.netns}`;
}
