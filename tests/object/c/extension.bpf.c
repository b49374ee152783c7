// Replaces a function of another program; its target is named at load.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

SEC("freplace/answer")
int replaced(struct __sk_buff *skb)
{
	return 42;
}
