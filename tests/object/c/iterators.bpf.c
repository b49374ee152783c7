// Iterators in the program: numbers, and loops without a bound that the verifier can see.
// clang 19
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#define may_goto(label) asm volatile goto("may_goto %l[" #label "]" :::: label)

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym __weak;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym __weak;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym __weak;

__u64 sum;

SEC("?socket")
int open_coded(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	int *number;

	bpf_iter_num_new(&it, 0, 100);
	while ((number = bpf_iter_num_next(&it)))
		sum += *number;
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("?socket")
int may_go(struct __sk_buff *skb)
{
	__u64 found = 0;

	for (volatile __u32 i = 0; i < skb->len; i++) {
		found += i;
		may_goto(out);
	}
out:
	sum = found;
	return 0;
}
