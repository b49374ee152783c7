// Atomic operations and 32-bit arithmetic; instructions of the fourth version.
// clang 18 -mcpu=v4
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

__u64 a;
__u32 b;
__s64 c;

SEC("socket")
int atomic(struct __sk_buff *skb)
{
	__u64 old = __sync_fetch_and_add(&a, 1);

	__sync_fetch_and_or(&a, 4);
	__sync_val_compare_and_swap(&a, old, 9);
	b = __sync_lock_test_and_set(&b, skb->len);
	c = (__s8)skb->mark / ((__s32)skb->len | 1);
	return __builtin_bswap32(b);
}
