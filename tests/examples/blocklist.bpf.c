// Drops what comes from addresses on a list, and counts it.
#include "kernel.h"
#include <bpf/bpf_endian.h>

char LICENSE[] SEC("license") = "GPL";

struct network { __u32 bits; __u8 address[4]; };

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 10000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network);
	__type(value, __u64); /* packets dropped */
} blocked SEC(".maps");

__u64 passed;

SEC("xdp")
int filter(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct network source = { .bits = 32 };
	__u64 *dropped;

	if ((void *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	__builtin_memcpy(source.address, &ip->saddr, 4);
	dropped = bpf_map_lookup_elem(&blocked, &source);
	if (dropped) {
		*dropped += 1; /* not atomically: a trie does not align its values, and arm64 would panic */
		return XDP_DROP;
	}
	__sync_fetch_and_add(&passed, 1);
	return XDP_PASS;
}
