// Leads connections to a range of ports to one listening socket (sk_lookup), and hands what is sent between two sockets
// of a cgroup over without the network stack (sk_msg). A sock_ops program puts the sockets into the maps.
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct ends {
  __u32 local_port;
  __u32 remote_port;
};

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} listener SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_SOCKHASH);
  __uint(max_entries, 1024);
  __type(key, struct ends);
  __type(value, __u64);
} peers SEC(".maps");

const volatile __u16 first, last;
__u64 steered, redirected;

SEC("sockops")
int remember(struct bpf_sock_ops *ops) {
  struct ends ends = { ops->local_port, bpf_ntohl(ops->remote_port) };
  switch (ops->op) {
  case BPF_SOCK_OPS_TCP_LISTEN_CB:
    if (ops->local_port == first) bpf_sock_map_update(ops, &listener, &(__u32){ 0 }, BPF_ANY);
    break;
  case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
  case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
    bpf_sock_hash_update(ops, &peers, &ends, BPF_ANY);
  }
  return 1;
}

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx) {
  if (ctx->local_port < first || ctx->local_port > last) return SK_PASS;
  struct bpf_sock *socket = bpf_map_lookup_elem(&listener, &(__u32){ 0 });
  if (!socket) return SK_PASS;
  if (!bpf_sk_assign(ctx, socket, 0)) __sync_fetch_and_add(&steered, 1);
  bpf_sk_release(socket);
  return SK_PASS;
}

SEC("sk_msg")
int shortcut(struct sk_msg_md *msg) {
  struct ends peer = { bpf_ntohl(msg->remote_port), msg->local_port };
  if (bpf_msg_redirect_hash(msg, &peers, &peer, BPF_F_INGRESS) == SK_PASS) __sync_fetch_and_add(&redirected, 1);
  return SK_PASS;
}

char LICENSE[] SEC("license") = "GPL";
