// A congestion control as a struct of functions; members that are programs, data and names.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct rate_sample;
struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	__u32 flags;
	char name[16];
	int no_such_member; /* NULL here: libbpf leaves it out where the kernel lacks it */
};

int calls;

SEC("struct_ops") __u32 BPF_ssthresh(__u64 *context) { calls++; return 2; }
SEC("struct_ops") void BPF_cong_avoid(__u64 *context) { calls++; }
SEC("struct_ops") __u32 BPF_undo_cwnd(__u64 *context) { return 2; }

SEC(".struct_ops")
struct tcp_congestion_ops object_cc = {
	.ssthresh = (void *)BPF_ssthresh,
	.cong_avoid = (void *)BPF_cong_avoid,
	.undo_cwnd = (void *)BPF_undo_cwnd,
	.name = "bpf_object_cc",
};
