// Symbols of the kernel: addresses of any, typed variables, of each processor, and some that do not exist.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

extern const void schedule __ksym;
extern const void no_such_symbol __ksym __weak;
extern const int no_such_variable __ksym __weak;
extern const int bpf_prog_active __ksym; /* of each processor, untyped or typed by the kernel's BTF */
extern const struct task_struct init_task __ksym __weak;

__u64 address, weak_address;
int active, first_pid;

SEC("?raw_tp/sys_enter")
int read_addresses(void *context)
{
	address = (__u64)&schedule;
	weak_address = (__u64)&no_such_symbol;
	return 0;
}

SEC("?raw_tp/sys_enter")
int read_typed(void *context)
{
	const int *mine = bpf_this_cpu_ptr(&bpf_prog_active), *first = bpf_per_cpu_ptr(&bpf_prog_active, 0);

	active = *mine + (first ? *first : 0);
	if (&no_such_variable)
		active += no_such_variable;
	return 0;
}
