// Dynamic pointers: a record of a ring buffer whose size is known at run time, and a ring that user space writes.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} from_user SEC(".maps");

__u32 size = 64;
__u64 sum;

SEC("?raw_tp/sched_process_exec")
int write_dynamic(void *context)
{
	struct bpf_dynptr pointer;
	__u64 now = bpf_ktime_get_ns();

	bpf_ringbuf_reserve_dynptr(&ring, size, 0, &pointer);
	bpf_dynptr_write(&pointer, 0, &now, sizeof(now), 0);
	bpf_ringbuf_submit_dynptr(&pointer, 0);
	return 0;
}

static long take(struct bpf_dynptr *pointer, void *context)
{
	__u64 value = 0;

	bpf_dynptr_read(&value, sizeof(value), pointer, 0, 0);
	sum += value;
	return 0;
}

SEC("?raw_tp/sched_process_exec")
int read_user(void *context)
{
	bpf_user_ringbuf_drain(&from_user, take, 0, 0);
	return 0;
}
