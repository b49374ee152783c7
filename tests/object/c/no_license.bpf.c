// Without a license: what only GPL programs may call is refused, what all may is loaded.
#include "kernel.h"

__u64 now;

SEC("?socket")
int allowed(struct __sk_buff *skb)
{
	return skb->len;
}

SEC("?raw_tp/sched_process_exec")
int refused(void *context)
{
	bpf_probe_read_kernel(&now, sizeof(now), (void *)context);
	return 0;
}
