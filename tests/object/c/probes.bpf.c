// Probes: functions of the kernel and of programs, many at once, system calls, trace points, processor events.
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

__u64 hits[20];
char path[64];

SEC("?kprobe/do_unlinkat") int BPF_KPROBE(kernel, int dfd) { hits[0] += dfd; return 0; }
SEC("?kretprobe/do_unlinkat") int BPF_KRETPROBE(kernel_return, int result) { hits[1] += result; return 0; }
SEC("?kprobe/do_unlinkat+0") int BPF_KPROBE(kernel_offset) { hits[2]++; return 0; }
SEC("?ksyscall/unlink") int BPF_KSYSCALL(call, const char *name) { bpf_probe_read_user_str(path, sizeof(path), name); return 0; }
SEC("?kretsyscall/unlink") int BPF_KRETPROBE(call_return, int result) { hits[3] += result; return 0; }
SEC("?kprobe.multi/vfs_unlink*") int BPF_KPROBE(many) { hits[4] = bpf_get_func_ip(ctx); return 0; }
SEC("?kretprobe.multi/vfs_unlink*") int BPF_KRETPROBE(many_return) { hits[5]++; return 0; }
SEC("?kprobe.session/vfs_unlink*") int BPF_KPROBE(session) { hits[6]++; return 0; }
SEC("?uprobe") int BPF_UPROBE(user, int a) { hits[7] += a; return 0; }
SEC("?uretprobe") int BPF_URETPROBE(user_return, int result) { hits[8] += result; return 0; }
SEC("?uprobe.s//proc/self/exe:main") int BPF_UPROBE(user_sleepable) { hits[9]++; return 0; }
SEC("?uprobe.multi//proc/self/exe:mai*") int BPF_UPROBE(user_many) { hits[10]++; return 0; }
SEC("?uprobe.session//proc/self/exe:main") int BPF_UPROBE(user_session) { hits[11]++; return 0; }
SEC("?tracepoint/sched/sched_process_exec") int trace(struct trace_event_raw_sched_process_exec *context) { hits[12] = context->pid; return 0; }
SEC("?tp/syscalls/sys_enter_unlink") int trace_call(struct trace_event_raw_sys_enter *context) { hits[13] = context->id; return 0; }
SEC("?perf_event") int sample(void *context) { hits[14]++; return 0; }
