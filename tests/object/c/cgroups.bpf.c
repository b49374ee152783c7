// Programs of every kind that a cgroup takes.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} per_cgroup SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64);
} old_storage SEC(".maps");

__u64 hits;

SEC("?cgroup_skb/ingress") int in(struct __sk_buff *skb) { hits += skb->len; return 1; }
SEC("?cgroup_skb/egress") int out(struct __sk_buff *skb) { __u64 *mine = bpf_get_local_storage(&old_storage, 0); *mine += skb->len; return 1; }
SEC("?cgroup/skb") int either(struct __sk_buff *skb) { return 1; }
SEC("?cgroup/sock_create") int create(struct bpf_sock *sk) { hits += sk->family; return 1; }
SEC("?cgroup/sock_release") int release(struct bpf_sock *sk) { return 1; }
SEC("?cgroup/sock") int old_create(struct bpf_sock *sk) { return 1; }
SEC("?cgroup/post_bind4") int bound4(struct bpf_sock *sk) { return 1; }
SEC("?cgroup/post_bind6") int bound6(struct bpf_sock *sk) { return 1; }
SEC("?cgroup/bind4") int bind4(struct bpf_sock_addr *address) { return address->user_port != 0; }
SEC("?cgroup/bind6") int bind6(struct bpf_sock_addr *address) { return 1; }
SEC("?cgroup/connect4") int connect4(struct bpf_sock_addr *address) { hits += address->user_ip4; return 1; }
SEC("?cgroup/connect6") int connect6(struct bpf_sock_addr *address) { return 1; }
SEC("?cgroup/connect_unix") int connect_unix(struct bpf_sock_addr *address) { return 1; }
SEC("?cgroup/sendmsg4") int sendmsg4(struct bpf_sock_addr *address) { return 1; }
SEC("?cgroup/sendmsg6") int sendmsg6(struct bpf_sock_addr *address) { return 1; }
SEC("?cgroup/recvmsg4") int recvmsg4(struct bpf_sock_addr *address) { return 1; }
SEC("?cgroup/getpeername4") int getpeername4(struct bpf_sock_addr *address) { return 1; }
SEC("?cgroup/getsockname6") int getsockname6(struct bpf_sock_addr *address) { return 1; }
SEC("?cgroup/getsockopt") int getsockopt(struct bpf_sockopt *option) { return option->level >= 0; }
SEC("?cgroup/setsockopt") int setsockopt(struct bpf_sockopt *option) { return 1; }
SEC("?cgroup/sysctl") int sysctl(struct bpf_sysctl *context) { return !context->write || 1; }
SEC("?cgroup/dev") int device(struct bpf_cgroup_dev_ctx *context) { return context->major != 0; }
SEC("?sockops") int operations(struct bpf_sock_ops *operation) { hits += operation->op; return 1; }
