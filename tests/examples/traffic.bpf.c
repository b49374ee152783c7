// Counts the bytes of each process and connection of a cgroup, both ways (IPv4).
#include "kernel.h"
#include <bpf/bpf_endian.h>

char LICENSE[] SEC("license") = "GPL";

struct owner { __u32 pid; char comm[16]; };
struct connection { __u32 pid; __u32 address; __u16 port; __u16 protocol; };
struct traffic { __u64 sent, received; char comm[16]; };

/* Who made a socket: packets are received on behalf of nobody. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct owner);
} owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct connection);
	__type(value, struct traffic);
} connections SEC(".maps");

SEC("cgroup/sock_create")
int on_socket(struct bpf_sock *sk)
{
	struct owner *owner = bpf_sk_storage_get(&owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (owner) {
		owner->pid = bpf_get_current_pid_tgid() >> 32;
		bpf_get_current_comm(owner->comm, sizeof(owner->comm));
	}
	return 1;
}

static __always_inline int count(struct __sk_buff *skb, __u64 sent, __u64 received)
{
	struct bpf_sock *sk = skb->sk;
	struct connection connection = {};
	struct traffic *traffic, none = {};
	struct owner *owner;

	if (!sk || !(sk = bpf_sk_fullsock(sk)) || sk->family != AF_INET)
		return 1;
	owner = bpf_sk_storage_get(&owners, sk, 0, 0);
	if (!owner)
		return 1;
	connection.pid = owner->pid;
	connection.address = bpf_ntohl(sk->dst_ip4);
	connection.port = bpf_ntohs(sk->dst_port);
	connection.protocol = sk->protocol;
	__builtin_memcpy(none.comm, owner->comm, sizeof(none.comm));
	traffic = bpf_map_lookup_elem(&connections, &connection);
	if (!traffic) {
		bpf_map_update_elem(&connections, &connection, &none, BPF_NOEXIST);
		traffic = bpf_map_lookup_elem(&connections, &connection);
		if (!traffic)
			return 1;
	}
	__sync_fetch_and_add(&traffic->sent, sent);
	__sync_fetch_and_add(&traffic->received, received);
	return 1;
}

SEC("cgroup_skb/egress") int on_send(struct __sk_buff *skb) { return count(skb, skb->len, 0); }
SEC("cgroup_skb/ingress") int on_receive(struct __sk_buff *skb) { return count(skb, 0, skb->len); }
