// Maps of maps: filled by declaration, empty with a prototype, by the sizes of inner maps.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} filled SEC(".maps") = { .values = { [0] = &first, [2] = &second } };

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u64);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(max_entries, 2);
		__type(key, __u32);
		__type(value, __u32);
	});
} empty SEC(".maps");

SEC("socket")
int use_inner(struct __sk_buff *skb)
{
	__u32 key = skb->len & 3;
	__u64 name = key, *value;
	void *map = bpf_map_lookup_elem(&filled, &key);

	if (!map)
		return bpf_map_lookup_elem(&empty, &name) ? -1 : 0;
	value = bpf_map_lookup_elem(map, &key);
	return value ? *value : 0;
}
