// Exceptions: thrown in a function, caught by the program's own callback.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

extern void bpf_throw(__u64 cookie) __ksym;

__noinline int check(__u32 length)
{
	if (length > 100000)
		bpf_throw(7);
	return length;
}

__noinline int caught(__u64 cookie) { return cookie + 1; }

SEC("?tc")
int throws(struct __sk_buff *skb)
{
	return check(skb->len);
}

SEC("?tc")
__attribute__((btf_decl_tag("exception_callback:caught")))
int throws_and_catches(struct __sk_buff *skb)
{
	return check(skb->len);
}
