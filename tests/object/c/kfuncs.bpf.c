// Functions of the kernel, one of them weak and absent.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

extern struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;
extern struct task_struct *bpf_task_from_pid(int pid) __ksym __weak;
extern void no_such_function(int) __ksym __weak;
extern int bpf_rcu_read_lock___absent(void) __ksym __weak;

int found;

SEC("?tp_btf/task_newtask")
int acquire(__u64 *context)
{
	struct task_struct *task = (void *)context[0], *held = bpf_task_acquire(task);

	if (held)
		bpf_task_release(held);
	return 0;
}

SEC("?tp_btf/task_newtask")
int weak_ones(__u64 *context)
{
	if (bpf_ksym_exists(no_such_function))
		no_such_function(1);
	if (bpf_task_from_pid) {
		struct task_struct *task = bpf_task_from_pid(1);

		if (task) {
			found = task->pid;
			bpf_task_release(task);
		}
	}
	return 0;
}
