// Counts what a cgroup sends, in a map that is pinned: a new version of the program counts on.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct count {
  __u64 packets;
  __u64 bytes;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct count);
} sent SEC(".maps");

SEC("cgroup_skb/egress")
int count(struct __sk_buff *skb) {
  struct count *count = bpf_map_lookup_elem(&sent, &(__u32){ 0 });
  if (count) {
    __sync_fetch_and_add(&count->packets, 1);
    __sync_fetch_and_add(&count->bytes, skb->len);
  }
  return 1;
}

char LICENSE[] SEC("license") = "GPL";
