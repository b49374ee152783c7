// For a processor of the other byte order.
// clang --target=bpfeb
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

int count;

SEC("socket")
int plain(struct __sk_buff *skb)
{
	return ++count;
}
