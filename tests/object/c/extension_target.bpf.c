// A global function that another object replaces.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

__noinline int answer(struct __sk_buff *skb)
{
	volatile int value = 1; /* keeps the call from being folded */

	return value + (skb->len > 1000000);
}

SEC("tc")
int ask(struct __sk_buff *skb)
{
	return answer(skb);
}
