// Counts calls of malloc by the power of two that is not more than what they ask for.
#include "kernel.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 only_pid;

__u64 calls[64];

SEC("uprobe/libc.so.6:malloc")
int BPF_UPROBE(on_malloc, __u64 size)
{
	int power = 0;

	if (bpf_get_current_pid_tgid() >> 32 != only_pid)
		return 0;
	for (int i = 0; i < 63 && size > 1; i++, size >>= 1)
		power++;
	__sync_fetch_and_add(&calls[power & 63], 1);
	return 0;
}
