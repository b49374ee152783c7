// A USDT probe with its arguments.
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "GPL";

__u64 hits;
long last[2];

SEC("usdt")
int BPF_USDT(probe, int a, long b)
{
	add_to(&hits, 1);
	last[0] = a;
	last[1] = b;
	return 0;
}
