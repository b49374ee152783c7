// CO-RE that cannot be: a member that no kernel has. The program is refused where it reads it.
#include "kernel.h"
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

struct task_struct___missing { int no_such_member; } __attribute__((preserve_access_index));
int value;

SEC("raw_tp/sched_process_exec")
int read_missing(void *context)
{
	struct task_struct___missing *task = (void *)bpf_get_current_task();

	value = BPF_CORE_READ(task, no_such_member);
	return 0;
}
