// Loops by callback: bpf_loop and for each element of a map.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

__u64 sum;

static int each(struct bpf_map *map, __u32 *key, __u64 *value, void *context)
{
	*(__u64 *)context += *value;
	return 0;
}

static int step(__u32 index, __u64 *context)
{
	*context += index;
	return index > 50;
}

SEC("?socket")
int for_each(struct __sk_buff *skb)
{
	__u64 found = 0;

	bpf_for_each_map_elem(&numbers, each, &found, 0);
	sum = found;
	return 0;
}

SEC("?socket")
int loop(struct __sk_buff *skb)
{
	__u64 found = 0;

	bpf_loop(100, step, &found, 0);
	sum = found;
	return 0;
}

SEC("?socket")
int bounded(struct __sk_buff *skb)
{
	__u64 found = 0;

	for (int i = 0; i < 100; i++) {
		barrier_var(found); /* the compiler must not work it out */
		found += i;
	}
	sum = found;
	return 0;
}
