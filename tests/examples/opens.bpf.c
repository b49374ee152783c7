// Tells of every file that a process of one cgroup, or of one below it, opens.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct opened { __u32 pid; char comm[16]; char path[128]; };
struct opened *unused __attribute__((unused)); /* so that the object knows the type */

__u64 lost;

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32); /* is set by an fd */
} cgroup SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_openat")
int on_open(struct trace_event_raw_sys_enter *context)
{
	struct opened *event;

	if (bpf_current_task_under_cgroup(&cgroup, 0) != 1)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	event->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	if (bpf_probe_read_user_str(event->path, sizeof(event->path), (void *)context->args[1]) < 0)
		event->path[0] = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}
