// Programs that kernels refuse, each for a reason of its own; none is loaded unless it is asked for.
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Proprietary";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct absent_struct {
	int absent_field;
} __attribute__((preserve_access_index));

extern int bpf_absent_function(void) __ksym __weak;

SEC("?socket")
int no_check(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&counts, &key);

	return *count;
}

SEC("?socket")
int long_way(struct __sk_buff *skb)
{
	volatile __u32 sum = 0, key = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < 600; i++)
		sum += skb->len ^ i;
	return sum + *(__u64 *)bpf_map_lookup_elem(&counts, (void *)&key);
}

static long (*absent_helper)(void) = (void *)100000;

SEC("?socket")
int no_helper(struct __sk_buff *skb)
{
	return absent_helper();
}

SEC("?socket")
int other_helper(struct __sk_buff *skb)
{
	return bpf_xdp_adjust_head((void *)skb, 0);
}

SEC("?kprobe/do_nothing")
int no_field(void *context)
{
	struct absent_struct *absent = (void *)bpf_get_prandom_u32;

	return BPF_CORE_READ(absent, absent_field);
}

SEC("?tp/sched/sched_process_exec")
int no_license(void *context)
{
	return bpf_get_current_task() != 0;
}

/* as every call of a helper is without -O2 */
SEC("?socket")
int by_register(struct __sk_buff *skb)
{
	__u64 (*volatile now)(void) = (void *)BPF_FUNC_ktime_get_ns;

	return now();
}

SEC("?fentry/absent_kernel_function")
int no_function(void *context)
{
	return 0;
}

SEC("?no_such_section")
int no_section(void *context)
{
	return 0;
}

SEC("?socket")
int no_kfunc(struct __sk_buff *skb)
{
	return bpf_absent_function();
}

SEC("socket")
int accepted(struct __sk_buff *skb)
{
	return skb->len;
}
