// Maps that hold maps and programs, declared with what they hold.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct entry { __u32 hits; char name[12]; };

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct entry);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [0] = &first } };

int called(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, int(void *));
} calls SEC(".maps") = { .values = { [1] = (void *)&called } };

SEC("socket")
int called(struct __sk_buff *skb)
{
	return 42;
}

SEC("socket")
int call(struct __sk_buff *skb)
{
	__u32 zero = 0, one = 1;
	struct entry *entry;
	void *map = bpf_map_lookup_elem(&outer, &zero);

	if (map && (entry = bpf_map_lookup_elem(map, &one)))
		add_to(&entry->hits, 1);
	bpf_tail_call(skb, &calls, skb->len == 20 ? 1 : 2);
	return 7;
}
