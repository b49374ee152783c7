// A section that names no kind of program: libbpf opens it and cannot load it.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

SEC("no_such_kind/here")
int lost(void *context)
{
	return 0;
}

SEC("socket")
int known(struct __sk_buff *skb)
{
	return 0;
}
