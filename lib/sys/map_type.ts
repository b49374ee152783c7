/** What is special about types of maps. */
import type { MapType } from "../uapi/types.ts";

/** Sizes that the type leaves no choice about (or none that is useful), and what else it demands. */
export interface MapTypeFacts {
  /** Bytes of a key. */
  readonly keySize?: number;
  /** Bytes of a value. */
  readonly valueSize?: number;
  /** A value has a part for each CPU. */
  readonly isPerCpu?: true;
  /** Elements are added and taken out, without a key. */
  readonly isQueue?: true;
  /** The kernel wants BPF_F_NO_PREALLOC. */
  readonly isNeverPreallocated?: true;
  /** Making one takes CAP_NET_ADMIN too. */
  readonly isNetwork?: true;
}

const INDEX = 4, FD = 4, SOCKET = 8; // bytes

const FACTS: { readonly [T in MapType]?: MapTypeFacts } = {
  array: { keySize: INDEX },
  array_of_maps: { keySize: INDEX, valueSize: FD },
  arena: { keySize: 0, valueSize: 0 },
  bloom_filter: { keySize: 0 },
  cgroup_array: { keySize: INDEX, valueSize: FD },
  cgrp_storage: { isNeverPreallocated: true },
  cpumap: { keySize: INDEX },
  devmap: { keySize: INDEX, isNetwork: true },
  devmap_hash: { isNetwork: true },
  hash_of_maps: { valueSize: FD },
  inode_storage: { isNeverPreallocated: true },
  lpm_trie: { isNeverPreallocated: true },
  lru_percpu_hash: { isPerCpu: true },
  percpu_array: { keySize: INDEX, isPerCpu: true },
  percpu_cgroup_storage: { isPerCpu: true },
  percpu_hash: { isPerCpu: true },
  perf_event_array: { keySize: INDEX, valueSize: FD },
  prog_array: { keySize: INDEX, valueSize: FD },
  queue: { keySize: 0, isQueue: true },
  reuseport_sockarray: { keySize: INDEX, valueSize: SOCKET },
  ringbuf: { keySize: 0, valueSize: 0 },
  sk_storage: { isNeverPreallocated: true },
  sockhash: { valueSize: SOCKET, isNetwork: true },
  sockmap: { keySize: INDEX, valueSize: SOCKET, isNetwork: true },
  stack: { keySize: 0, isQueue: true },
  struct_ops: { keySize: INDEX },
  task_storage: { isNeverPreallocated: true },
  user_ringbuf: { keySize: 0, valueSize: 0 },
  xskmap: { keySize: INDEX, valueSize: FD, isNetwork: true },
};

/** What is known of a type; nothing of one that is like a hash, or newer than this package. */
export function mapTypeFacts(type: MapType): MapTypeFacts {
  return FACTS[type] ?? {};
}
