// A timer in a map's value.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct element { struct bpf_timer timer; __u64 fired; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct element);
} timers SEC(".maps");

static int fire(void *map, __u32 *key, struct element *element)
{
	element->fired++;
	return 0;
}

SEC("tc")
int start(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct element *element = bpf_map_lookup_elem(&timers, &key);

	if (element && bpf_timer_init(&element->timer, &timers, 1) == 0) {
		bpf_timer_set_callback(&element->timer, fire);
		bpf_timer_start(&element->timer, 1000000, 0);
	}
	return -1;
}
