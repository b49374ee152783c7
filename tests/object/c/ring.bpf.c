// A ring buffer: reserved records, records copied, a second ring.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

enum kind { OPENED = 1, CLOSED };
struct event { enum kind kind; __u32 pid; __u64 at; char comm[16]; };
struct event *unused_event __attribute__((unused)); /* a ring buffer cannot name the type of its records */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps"), others SEC(".maps");

SEC("raw_tp/sched_process_exec")
int produce(void *context)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0), copy = { CLOSED };

	if (event) {
		event->kind = OPENED;
		event->pid = bpf_get_current_pid_tgid() >> 32;
		event->at = bpf_ktime_get_ns();
		bpf_get_current_comm(event->comm, sizeof(event->comm));
		bpf_ringbuf_submit(event, 0);
	}
	bpf_ringbuf_output(&others, &copy, sizeof(copy), BPF_RB_NO_WAKEUP);
	return 0;
}
