// Programs at sockets: look-up, messages, streams, reuse of ports; storage that belongs to a socket or a task.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} by_name SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} group SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} per_socket SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} per_task SEC(".maps");

SEC("sk_lookup")
int look_up(struct bpf_sk_lookup *context)
{
	__u32 zero = 0;
	struct bpf_sock *sk = bpf_map_lookup_elem(&sockets, &zero);
	int result;

	if (!sk)
		return SK_PASS;
	result = bpf_sk_assign(context, sk, 0);
	bpf_sk_release(sk);
	return result == 0 ? SK_PASS : SK_DROP;
}

SEC("sk_msg") int message(struct sk_msg_md *message) { return bpf_msg_redirect_map(message, &sockets, 0, BPF_F_INGRESS); }
SEC("sk_skb/stream_parser") int parse(struct __sk_buff *skb) { return skb->len; }
SEC("sk_skb/stream_verdict") int decide(struct __sk_buff *skb) { return bpf_sk_redirect_map(skb, &sockets, 0, 0); }
SEC("?sk_skb/verdict") int decide_alone(struct __sk_buff *skb) { return SK_PASS; }
SEC("?sk_skb") int any(struct __sk_buff *skb) { return SK_PASS; }
SEC("sk_reuseport") int choose(struct sk_reuseport_md *context) { __u32 key = 0; return bpf_sk_select_reuseport(context, &group, &key, 0) ? SK_DROP : SK_PASS; }
SEC("?sk_reuseport/migrate") int migrate(struct sk_reuseport_md *context) { return SK_PASS; }

SEC("sockops")
int remember(struct bpf_sock_ops *operation)
{
	struct bpf_sock *sk = operation->sk;
	__u64 one = 1, *count = sk ? bpf_sk_storage_get(&per_socket, sk, &one, BPF_SK_STORAGE_GET_F_CREATE) : 0;

	if (count)
		*count += 1;
	return 1;
}
