// The first two arguments of a USDT probe.
#include "kernel.h"
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct fired { __u32 pid; char comm[16]; __s64 arguments[2]; __s32 count; };
struct fired *unused __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

SEC("usdt")
int on_probe(struct pt_regs *ctx)
{
	struct fired *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	long value = 0;

	if (!event)
		return 0;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	event->count = bpf_usdt_arg_cnt(ctx);
	bpf_usdt_arg(ctx, 0, &value);
	event->arguments[0] = value;
	value = 0;
	bpf_usdt_arg(ctx, 1, &value);
	event->arguments[1] = value;
	bpf_ringbuf_submit(event, 0);
	return 0;
}
