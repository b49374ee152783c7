// Plain maps of the common kinds, and a program that uses each.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct flow { __u32 address; __u16 port; __u8 protocol, unused; };
struct counters { __u64 packets, bytes; };

#define MAP(NAME, TYPE, ENTRIES, KEY, VALUE) \
	struct { \
		__uint(type, BPF_MAP_TYPE_##TYPE); \
		__uint(max_entries, ENTRIES); \
		__type(key, KEY); \
		__type(value, VALUE); \
	} NAME SEC(".maps")

MAP(hash, HASH, 16, struct flow, struct counters);
MAP(array, ARRAY, 8, __u32, struct counters);
MAP(lru, LRU_HASH, 64, __u32, __u64);
MAP(percpu_hash, PERCPU_HASH, 16, __u32, struct counters);
MAP(percpu_array, PERCPU_ARRAY, 4, __u32, __u64);
MAP(lru_percpu, LRU_PERCPU_HASH, 64, __u32, __u64);

struct prefix { __u32 length; __u8 address[4]; };
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} trie SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8);
	__type(value, __u64);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 8);
	__type(value, __u64);
} stack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 8);
	__uint(key_size, 4);
	__uint(value_size, 127 * 8);
} stacks SEC(".maps");

SEC("socket")
int use_maps(struct __sk_buff *skb)
{
	struct flow flow = { .port = skb->mark, .protocol = skb->protocol };
	struct counters one = { 1, skb->len }, *counters;
	struct prefix prefix = { 32, { 10, 0, 0, 1 } };
	__u32 zero = 0;
	__u64 length = skb->len;

	counters = bpf_map_lookup_elem(&hash, &flow);
	if (counters)
		add_to(&counters->packets, 1);
	else
		bpf_map_update_elem(&hash, &flow, &one, BPF_NOEXIST);
	counters = bpf_map_lookup_elem(&array, &zero);
	if (counters)
		add_to(&counters->bytes, length);
	bpf_map_update_elem(&lru, &zero, &length, BPF_ANY);
	bpf_map_update_elem(&percpu_hash, &zero, &one, BPF_ANY);
	bpf_map_update_elem(&percpu_array, &zero, &length, BPF_ANY);
	bpf_map_update_elem(&lru_percpu, &zero, &length, BPF_ANY);
	bpf_map_push_elem(&queue, &length, BPF_EXIST);
	bpf_map_push_elem(&stack, &length, BPF_EXIST);
	return bpf_map_lookup_elem(&trie, &prefix) ? -1 : 0;
}
