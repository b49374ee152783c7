// The section "maps" of old, which libbpf 1.0 no longer takes.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct { __u32 type, key_size, value_size, max_entries, flags; } old SEC("maps") = { BPF_MAP_TYPE_ARRAY, 4, 8, 1 };

SEC("socket")
int look(struct __sk_buff *skb)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&old, &key) ? 1 : 0;
}
