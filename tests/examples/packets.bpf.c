// Counts the packets that an interface receives and sends.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

__u64 received, sent, bytes_received, bytes_sent;

SEC("tcx/ingress")
int count_received(struct __sk_buff *packet)
{
	__sync_fetch_and_add(&received, 1);
	__sync_fetch_and_add(&bytes_received, packet->len);
	return TCX_NEXT; /* to the next program, or to its receiver */
}

SEC("tcx/egress")
int count_sent(struct __sk_buff *packet)
{
	__sync_fetch_and_add(&sent, 1);
	__sync_fetch_and_add(&bytes_sent, packet->len);
	return TCX_NEXT;
}
