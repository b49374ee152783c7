// What generated types are checked with: maps of several kinds, variables of all sections, records of a ring.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

enum verdict { STOP, PASS };
struct limits { __u32 packets; __u16 port; bool enabled; };
const volatile struct limits limits = { .packets = 100, .port = 9 };
volatile enum verdict over_limit = STOP;
__u64 packets;
char last_comm[16];

struct flow { __u32 address; __u16 port; __u8 protocol, unused; };
struct counters { __u64 packets, bytes; __u8 mac[6]; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct flow);
	__type(value, struct counters);
} flows SEC(".maps");

union address { __u32 v4; __u8 v6[16]; };
struct { __u16 family; union address address; } peer;
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, union address);
} addresses SEC(".maps");

struct event { enum { EXEC = 1, OPEN } kind; __u32 pid; __u64 at; char comm[16]; };
struct event *unused_event __attribute__((unused));
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("socket")
int count(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	__u64 seen;

	add_to(&packets, 1);
	seen = packets;
	if (event) {
		*event = (struct event) { .kind = OPEN, .pid = 7, .at = seen, .comm = "tester" };
		last_comm[0] = event->comm[0];
		peer.family = 2;
		bpf_ringbuf_submit(event, 0);
	}
	return limits.enabled && seen > limits.packets ? over_limit : PASS;
}
