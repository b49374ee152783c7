// A program that the verifier refuses at a line of its own, and one that takes it long to accept.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} values SEC(".maps");

SEC("?socket")
int unchecked(struct __sk_buff *skb)
{
	__u32 key = skb->len;
	__u64 *value = bpf_map_lookup_elem(&values, &key);

	return *value; /* may be NULL */
}

SEC("?socket")
int endless(struct __sk_buff *skb)
{
	for (volatile int i = 0; i >= 0; i++)
		;
	return 0;
}

SEC("?socket")
int fine(struct __sk_buff *skb)
{
	return 0;
}
