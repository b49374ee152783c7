// Static functions that several programs share, calls through three levels, a callback and a tail call together.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

int depth;

static __noinline int third(int n) { return n * depth; }
static __noinline int second(int n) { return third(n) + 1; }
static __noinline int first(int n) { return second(n) + third(n + 1); }

SEC("socket") int one(struct __sk_buff *skb) { return first(skb->len); }
SEC("socket") int two(struct __sk_buff *skb)
{
	int n = second(skb->mark);

	bpf_tail_call(skb, &next, 0);
	return n;
}
SEC("socket") int three(struct __sk_buff *skb) { return third(skb->hash); }
