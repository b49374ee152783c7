// How long a function of a program takes, by powers of two of microseconds.
#include "kernel.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

__u64 slots[32]; /* slot n: 2^n to 2^(n+1) - 1 microseconds; the first has all below 2 */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32); /* a thread */
	__type(value, __u64);
} begun SEC(".maps");

SEC("uprobe")
int BPF_UPROBE(on_entry)
{
	__u32 thread = bpf_get_current_pid_tgid();
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&begun, &thread, &now, BPF_ANY);
	return 0;
}

SEC("uretprobe")
int BPF_URETPROBE(on_return)
{
	__u32 thread = bpf_get_current_pid_tgid(), slot = 0;
	__u64 *start = bpf_map_lookup_elem(&begun, &thread), microseconds;

	if (!start)
		return 0;
	microseconds = (bpf_ktime_get_ns() - *start) / 1000;
	bpf_map_delete_elem(&begun, &thread);
	for (int i = 0; i < 31; i++) {
		microseconds >>= 1;
		if (!microseconds)
			break;
		slot++;
	}
	__sync_fetch_and_add(&slots[slot & 31], 1);
	return 0;
}
