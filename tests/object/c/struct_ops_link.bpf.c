// The same with a link of its own (6.4).
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

int calls;

SEC("struct_ops/ssthresh") __u32 ssthresh(__u64 *context) { calls++; return 2; }
SEC("struct_ops/cong_avoid") void cong_avoid(__u64 *context) { calls++; }
SEC("struct_ops/undo_cwnd") __u32 undo_cwnd(__u64 *context) { return 2; }

SEC(".struct_ops.link")
struct tcp_congestion_ops object_link_cc = {
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)cong_avoid,
	.undo_cwnd = (void *)undo_cwnd,
	.name = "bpf_link_cc",
};
