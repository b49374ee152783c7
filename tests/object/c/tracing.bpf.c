// Programs at functions of the kernel, with and without sleeping; at trace points with types; at security hooks.
#include "kernel.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

__u64 hits[8];

SEC("?fentry/do_unlinkat") int BPF_PROG(entry, int dfd) { hits[0] += dfd; return 0; }
SEC("?fexit/do_unlinkat") int BPF_PROG(leave, int dfd, void *name, int result) { hits[1] += result; return 0; }
SEC("?fentry.s/bpf_fentry_test1") int BPF_PROG(entry_sleepable, int a) { hits[2] += a; return 0; }
SEC("?fmod_ret/bpf_modify_return_test") int BPF_PROG(modify, int a, int *b) { hits[3] += a; return 0; }
SEC("?lsm/file_open") int BPF_PROG(security, struct file *file) { hits[4] += file->f_flags & 1; return 0; }
SEC("?lsm.s/bprm_committed_creds") int BPF_PROG(security_sleepable, struct linux_binprm *binprm) { hits[5]++; return 0; }
SEC("?lsm_cgroup/socket_create") int BPF_PROG(security_cgroup, int family) { hits[6] += family; return 1; }
SEC("?tp_btf/sched_process_exec") int BPF_PROG(typed, struct task_struct *task) { hits[7] = task->pid; return 0; }
SEC("?raw_tp/sched_process_exec") int BPF_PROG(raw, struct task_struct *task) { hits[7]++; return 0; }
SEC("?raw_tp.w/bpf_test_finish") int BPF_PROG(raw_writable) { return 0; }
