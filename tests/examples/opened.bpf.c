#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 only_pid; // 0: all

struct event { char comm[16]; char path[256]; };
struct event *unused __attribute__((unused)); // so that the object knows the type

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

// /sys/kernel/tracing/events/syscalls/sys_enter_openat/format
struct openat { __u64 common, number, directory; const char *path; };

SEC("tracepoint/syscalls/sys_enter_openat")
int on_open(struct openat *call)
{
	struct event *event;

	if (only_pid && only_pid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bpf_probe_read_user_str(event->path, sizeof(event->path), call->path);
	bpf_ringbuf_submit(event, 0);
	return 0;
}
