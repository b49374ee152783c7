// CO-RE: reads, what exists, sizes, enums, types, bit fields, flavours of a struct.
#include "kernel.h"
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

struct task_struct___old {
	long state; /* until 5.13 */
} __attribute__((preserve_access_index));

struct task_struct___new {
	unsigned int __state;
} __attribute__((preserve_access_index));

struct no_such_struct___x { int member; } __attribute__((preserve_access_index));
enum bpf_map_type___other { BPF_MAP_TYPE_HASH___other = 77, NO_SUCH_VALUE___other = 5 };

struct result {
	__s32 pid, parent, exists, missing, size, comm_size, type_exists, type_missing, type_size, type_matches;
	__u64 hash, none, offset, packet_type, state;
	char comm[16];
};
struct result result;

SEC("raw_tp/sched_process_exec")
int relocate(void *context)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	result.pid = BPF_CORE_READ(task, pid);
	result.parent = BPF_CORE_READ(task, real_parent, group_leader, tgid);
	result.exists = bpf_core_field_exists(task->mm);
	result.missing = bpf_core_field_exists(((struct no_such_struct___x *)0)->member);
	result.size = bpf_core_field_size(task->comm);
	result.offset = bpf_core_field_offset(struct task_struct, comm);
	result.type_exists = bpf_core_type_exists(struct task_struct);
	result.type_missing = bpf_core_type_exists(struct no_such_struct___x);
	result.type_size = bpf_core_type_size(struct sock_common);
	result.type_matches = bpf_core_type_matches(struct qstr);
	result.hash = bpf_core_enum_value(enum bpf_map_type___other, BPF_MAP_TYPE_HASH___other);
	result.none = bpf_core_enum_value_exists(enum bpf_map_type___other, NO_SUCH_VALUE___other);
	if (bpf_core_field_exists(((struct task_struct___new *)task)->__state))
		result.state = BPF_CORE_READ((struct task_struct___new *)task, __state);
	else if (bpf_core_field_exists(((struct task_struct___old *)task)->state))
		result.state = BPF_CORE_READ((struct task_struct___old *)task, state);
	BPF_CORE_READ_STR_INTO(&result.comm, task, comm);
	return 0;
}

SEC("raw_tp/kfree_skb")
int bit_fields(__u64 *context)
{
	struct sk_buff *skb = (void *)context[0];

	result.packet_type = BPF_CORE_READ_BITFIELD_PROBED(skb, pkt_type) + BPF_CORE_READ_BITFIELD_PROBED(skb, cloned);
	return 0;
}
