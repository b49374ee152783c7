// A program for every kind of section that a link can be made of, each of which counts how often it ran. None is loaded
// unless it is asked for: no kernel and no policy lets all of them be.
#include "kernel.h"
#include <bpf/bpf_tracing.h>
#define BPF_USDT_MAX_SPEC_CNT 4 /* places that are attached at a time */
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "GPL";

__u64 runs;
int values[2];
__u64 cookie;

static __always_inline int counted(int verdict)
{
	add_to(&runs, 1);
	return verdict;
}

#define COUNTING(SECTION, NAME, VERDICT) \
	SEC("?" SECTION) int NAME(void *context) { return counted(VERDICT); }

COUNTING("kprobe", bare_kprobe, 0)
COUNTING("kprobe/vfs_unlink", kprobe, 0)
COUNTING("kprobe/vfs_unlink+0x0", kprobe_offset, 0)
COUNTING("kretprobe/vfs_unlink", kretprobe, 0)
COUNTING("ksyscall/umask", ksyscall, 0)
COUNTING("kretsyscall/umask", kretsyscall, 0)
COUNTING("kprobe.multi/vfs_unlin*", kprobe_multi, 0)
COUNTING("kretprobe.multi/vfs_unlin*", kretprobe_multi, 0)
COUNTING("kprobe.session/vfs_unlin*", kprobe_session, 0)
COUNTING("uprobe", uprobe, 0)
COUNTING("uretprobe", uretprobe, 0)
COUNTING("uprobe.s", uprobe_sleepable, 0)
COUNTING("uprobe.multi", uprobe_multi, 0)
COUNTING("uprobe.session", uprobe_session, 0)
COUNTING("uprobe/env:no_such_function", uprobe_named, 0)
COUNTING("tp/sched/sched_process_exec", tp, 0)
COUNTING("tracepoint/sched/sched_process_exec", tracepoint, 0)
COUNTING("raw_tp/sched_process_exec", raw_tp, 0)
COUNTING("raw_tracepoint/sched_process_exec", raw_tracepoint, 0)
COUNTING("tp_btf/sched_process_exec", tp_btf, 0)
COUNTING("fentry/vfs_unlink", fentry, 0)
COUNTING("fentry", bare_fentry, 0)
COUNTING("fexit/vfs_unlink", fexit, 0)
COUNTING("fsession/vfs_unlink", fsession, 0)
COUNTING("fmod_ret/bpf_modify_return_test", fmod_ret, 7)
COUNTING("lsm/inode_unlink", lsm, 0)
COUNTING("lsm_cgroup/socket_create", lsm_cgroup, 1)
COUNTING("xdp", xdp, 2)
COUNTING("xdp.frags", xdp_frags, 2)
COUNTING("tc", tc, 0)
COUNTING("classifier", classifier, 0)
COUNTING("tc/ingress", tc_ingress, -1)
COUNTING("tcx/egress", tcx_egress, -1)
COUNTING("netkit/primary", netkit_primary, -1)
COUNTING("netkit/peer", netkit_peer, -1)
COUNTING("netfilter", netfilter, 1)
COUNTING("sk_lookup", sk_lookup, 1)
COUNTING("flow_dissector", flow_dissector, 0)
COUNTING("cgroup_skb/egress", cgroup_egress, 1)
COUNTING("cgroup_skb/ingress", cgroup_ingress, 1)
COUNTING("cgroup/skb", cgroup_skb, 1)
COUNTING("cgroup/sock_create", cgroup_sock_create, 1)
COUNTING("cgroup/connect4", cgroup_connect4, 1)
COUNTING("cgroup/sysctl", cgroup_sysctl, 1)
COUNTING("cgroup/getsockopt", cgroup_getsockopt, 1)
COUNTING("cgroup/dev", cgroup_dev, 1)
COUNTING("sockops", sockops, 1)
COUNTING("sk_msg", sk_msg, 1)
COUNTING("sk_skb/stream_verdict", sk_skb_stream_verdict, 1)
COUNTING("sk_skb", sk_skb, 1)
COUNTING("perf_event", perf_event, 0)
COUNTING("socket", socket_filter, 0)
COUNTING("syscall", called, 0)
COUNTING("xdp/devmap", xdp_devmap, 2)

__u32 only_pid;

/* What a run by hand ends with, which the kernel lets programs of this type write. */
SEC("?raw_tp.w/bpf_test_finish")
int raw_tp_writable(__u64 *context)
{
	int *error = (int *)context[0];

	if (bpf_get_current_pid_tgid() >> 32 == only_pid)
		*error = -33; /* EDOM */
	return counted(0);
}

SEC("?kprobe/vfs_unlink")
int kprobe_cookie(void *context)
{
	cookie = bpf_get_attach_cookie(context);
	return counted(0);
}

SEC("?usdt")
int BPF_USDT(usdt, int first, int second)
{
	values[0] = first;
	values[1] = second;
	cookie = bpf_usdt_cookie(ctx);
	return counted(0);
}

SEC("?iter/task")
int iter_task(struct bpf_iter__task *context)
{
	char line[] = "task\n";

	if (context->task != NULL)
		bpf_seq_write(context->meta->seq, line, sizeof(line) - 1);
	return 0;
}

SEC("?iter/bpf_map_elem")
int iter_elements(struct bpf_iter__bpf_map_elem *context)
{
	if (context->key != NULL)
		bpf_seq_write(context->meta->seq, "element\n", 8);
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} elements SEC(".maps");
