// A spin lock in a map's value and in a global variable of its own section.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct element { struct bpf_spin_lock lock; __u32 padding; __u64 count; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct element);
} locked SEC(".maps");

SEC("tc")
int count(struct __sk_buff *skb)
{
	__u32 key = 1;
	struct element *element = bpf_map_lookup_elem(&locked, &key);

	if (element) {
		bpf_spin_lock(&element->lock);
		element->count++;
		bpf_spin_unlock(&element->lock);
	}
	return -1;
}
