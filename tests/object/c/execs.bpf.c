// Reports which process executes another program, and counts what leaves a cgroup.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct event { __u32 pid; __u64 count; char command[16]; };

volatile __u64 count;
__u64 packets;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

struct event *unused_event __attribute__((unused));

SEC("raw_tp/sched_process_exec")
int executed(struct bpf_raw_tracepoint_args *context)
{
	struct event event = { .pid = bpf_get_current_pid_tgid() >> 32, .count = ++count };

	bpf_get_current_comm(event.command, sizeof(event.command));
	bpf_ringbuf_output(&events, &event, sizeof(event), 0);
	return 0;
}

SEC("?cgroup_skb/egress")
int leaving(struct __sk_buff *skb)
{
	add_to(&packets, 1);
	return 1;
}
