// Lets a cgroup send as many bytes as it may, and drops what is more.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

__u64 quota, sent, dropped;

SEC("cgroup_skb/egress")
int spend(struct __sk_buff *packet)
{
	__u64 before = __sync_fetch_and_add(&sent, packet->len);

	if (before + packet->len <= quota)
		return 1;
	__sync_fetch_and_add(&sent, -(__u64)packet->len);
	__sync_fetch_and_add(&dropped, packet->len);
	return 0;
}
