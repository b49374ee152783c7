// A program that user space runs by hand and that may sleep and use bpf().
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct arguments { __u32 a, b; __u64 sum; };

SEC("syscall")
int add(struct arguments *arguments)
{
	arguments->sum = arguments->a + arguments->b;
	return 0;
}
