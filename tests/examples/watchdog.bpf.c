// Refuses connections of a cgroup to one port.
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u16 port = 25;
__u64 refused;

SEC("cgroup/connect4")
int guard(struct bpf_sock_addr *ctx) {
  if (ctx->user_port != bpf_htons(port)) return 1;
  __sync_fetch_and_add(&refused, 1);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
