// Records of a ring buffer: as large as their type, smaller, larger, and ending in an array of any length.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

enum kind { FIRST = 1, SECOND };
struct event { enum kind kind; __u32 length; __u64 at; char text[8]; };
struct message { __u32 length; __u16 words[]; };
struct event *unused_event __attribute__((unused));
struct message *unused_message __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

SEC("socket")
int write_event(struct __sk_buff *skb)
{
	struct event event = { .kind = skb->len & 3, .length = skb->len, .at = 1ULL << 40, .text = "hi" };

	return bpf_ringbuf_output(&events, &event, sizeof(event), 0);
}

SEC("socket")
int write_short(struct __sk_buff *skb)
{
	struct event event = { .kind = FIRST, .length = skb->len, .text = "x" };

	return bpf_ringbuf_output(&events, &event, 18, 0);
}

SEC("socket")
int write_long(struct __sk_buff *skb)
{
	struct { struct event event; __u64 more; } record = { .event.kind = SECOND };

	return bpf_ringbuf_output(&events, &record, sizeof(record), 0);
}

SEC("socket")
int write_message(struct __sk_buff *skb)
{
	struct { __u32 length; __u16 words[4]; } record = { 4, { 1, 2, 3, 4 } };

	return bpf_ringbuf_output(&events, &record, sizeof(record), 0);
}
