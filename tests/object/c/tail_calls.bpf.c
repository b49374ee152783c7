// Tail calls through an array of programs that is filled by declaration.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

int reached[3];
int second(struct __sk_buff *skb);
int third(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} steps SEC(".maps") = { .values = { [1] = (void *)&second, [3] = (void *)&third } };

SEC("socket") int first(struct __sk_buff *skb)
{
	reached[0]++;
	bpf_tail_call(skb, &steps, 1);
	return 0;
}

SEC("socket") int second(struct __sk_buff *skb)
{
	reached[1]++;
	bpf_tail_call(skb, &steps, 3);
	return 0;
}

SEC("socket") int third(struct __sk_buff *skb)
{
	reached[2]++;
	return 7;
}
