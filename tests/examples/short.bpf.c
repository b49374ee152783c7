// Drops packets that are shorter than a minimum.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 minimum = 64;
__u64 dropped;

SEC("xdp")
int drop_short(struct xdp_md *ctx) {
  if (ctx->data_end - ctx->data >= minimum) return XDP_PASS;
  __sync_fetch_and_add(&dropped, 1);
  return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
