// Without BTF: bytes alone, in the old way of a map section that libbpf 1.x refuses, or none.
// clang -g0
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

int count;
const volatile int limit = 4;

SEC("socket")
int plain(struct __sk_buff *skb)
{
	return ++count > limit ? 0 : -1;
}
