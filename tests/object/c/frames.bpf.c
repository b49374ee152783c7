// Programs that see packets: XDP with and without fragments, for device and processor maps, tcx, tc, netkit.
#include "kernel.h"
#include <bpf/bpf_endian.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct bpf_cpumap_val);
} processors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

__u64 packets, bytes;

SEC("xdp")
int count(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);

	if ((void *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	add_to(&packets, 1);
	add_to(&bytes, bpf_ntohs(ip->tot_len));
	return ip->ttl == 0 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") int redirect(struct xdp_md *context) { return bpf_redirect_map(&devices, context->rx_queue_index, XDP_PASS); }
SEC("xdp") int to_socket(struct xdp_md *context) { return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS); }
SEC("?xdp.frags") int fragments(struct xdp_md *context) { return context->data_end - context->data > 100 ? XDP_PASS : XDP_DROP; }
SEC("?xdp/devmap") int at_device(struct xdp_md *context) { return context->egress_ifindex ? XDP_PASS : XDP_DROP; }
SEC("?xdp/cpumap") int at_processor(struct xdp_md *context) { return XDP_PASS; }
SEC("?xdp.frags/devmap") int at_device_fragments(struct xdp_md *context) { return XDP_PASS; }
SEC("?tcx/ingress") int in(struct __sk_buff *skb) { add_to(&packets, 1); return TCX_NEXT; }
SEC("?tcx/egress") int out(struct __sk_buff *skb) { add_to(&bytes, skb->len); return TCX_NEXT; }
SEC("?tc/ingress") int old_in(struct __sk_buff *skb) { return TCX_NEXT; }
SEC("?netkit/primary") int primary(struct __sk_buff *skb) { return 0; }
SEC("?netkit/peer") int peer(struct __sk_buff *skb) { return 0; }
SEC("?classifier") int classifier(struct __sk_buff *skb) { return 0; }
SEC("?action") int action(struct __sk_buff *skb) { return 0; }
SEC("?lwt_in") int tunnel_in(struct __sk_buff *skb) { return 0; }
SEC("?lwt_xmit") int tunnel_out(struct __sk_buff *skb) { return 0; }
SEC("?netfilter") int filter(struct bpf_nf_ctx *context) { return context->skb->len > 0; }
SEC("?flow_dissector") int dissect(struct __sk_buff *skb) { return 0; }
