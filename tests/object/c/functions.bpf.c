// Functions: global ones that are verified by themselves, static ones, recursion through several, weak ones.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct point { int x, y; };
int total;

__noinline int add(int a, int b) { return a + b; }
__noinline int sum(struct point *point) { return point ? add(point->x, point->y) : 0; }
__weak int overridable(struct __sk_buff *skb) { return skb->len; }
static __noinline int local(struct __sk_buff *skb, int n) { return skb->mark + add(n, 1); }

SEC("socket")
int call(struct __sk_buff *skb)
{
	struct point point = { skb->len, 2 };

	total = sum(&point) + overridable(skb) + local(skb, total);
	return total;
}

SEC("socket")
int call_too(struct __sk_buff *skb)
{
	return local(skb, 5) + overridable(skb);
}
