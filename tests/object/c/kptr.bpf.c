// A pointer of the kernel's kept in a map, trusted and not.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#ifndef __kptr
#define __kptr __attribute__((btf_type_tag("kptr")))
#endif

extern struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;

struct element { struct task_struct __kptr *task; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct element);
} tasks SEC(".maps");

SEC("tp_btf/task_newtask")
int keep(__u64 *context)
{
	struct task_struct *task = bpf_task_acquire((void *)context[0]), *old;
	__u32 key = 0;
	struct element *element = bpf_map_lookup_elem(&tasks, &key);

	if (!task)
		return 0;
	if (!element) {
		bpf_task_release(task);
		return 0;
	}
	old = bpf_kptr_xchg(&element->task, task);
	if (old)
		bpf_task_release(old);
	return 0;
}
