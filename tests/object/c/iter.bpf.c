// Iterators that are read as files: tasks, and elements of a map; one that may sleep.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} elements SEC(".maps");

SEC("?iter/task")
int tasks(struct bpf_iter__task *context)
{
	static const char format[] = "%d %s\n";
	struct task_struct *task = context->task;
	__u64 values[2];

	if (!task)
		return 0;
	values[0] = task->pid;
	values[1] = (__u64)task->comm;
	bpf_seq_printf(context->meta->seq, format, sizeof(format), values, sizeof(values));
	return 0;
}

SEC("?iter.s/task") int tasks_sleepable(struct bpf_iter__task *context) { return 0; }

SEC("?iter/bpf_map_elem")
int of_map(struct bpf_iter__bpf_map_elem *context)
{
	void *value = context->value;

	if (value)
		bpf_seq_write(context->meta->seq, value, 8);
	return 0;
}
