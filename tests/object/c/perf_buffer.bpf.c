// A perf buffer: its size is the number of processors, found at load.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct event { __u32 pid; __u64 at; };
struct event *unused_event __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} events SEC(".maps");

SEC("raw_tp/sched_process_exec")
int produce(void *context)
{
	struct event event = { .pid = bpf_get_current_pid_tgid() >> 32, .at = bpf_ktime_get_ns() };

	bpf_perf_event_output(context, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
	return 0;
}
