// Maps that are pinned under their names.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} pinned_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} pinned_array SEC(".maps");

SEC("socket")
int use_pinned(struct __sk_buff *skb)
{
	__u32 key = skb->mark & 3;
	__u64 *count = bpf_map_lookup_elem(&pinned_array, &key);

	if (count)
		add_to(count, 1);
	return bpf_map_lookup_elem(&pinned_hash, &key) ? -1 : 0;
}
