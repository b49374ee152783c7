// Global variables of all sections: constants, values, zeroes, sections with names of their own, static ones.
#include "kernel.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum verdict { STOP, PASS };
struct limits { __u32 packets; __u16 port; bool enabled; };

const volatile struct limits limits = { .packets = 100, .port = 9 };
const volatile char name[16] = "none";
volatile enum verdict over_limit = STOP;
__u64 packets, sizes[8];
__s32 last_mark = -1;
int own SEC(".data.own") = 7;
int own_zero SEC(".bss.own");
const volatile int own_constant SEC(".rodata.own") = 3;
static volatile __u32 hidden = 5;

SEC("socket")
int use_globals(struct __sk_buff *skb)
{
	__u64 seen;

	add_to(&packets, 1);
	seen = packets;
	sizes[skb->len & 7] += own + own_constant + hidden;
	last_mark = skb->mark;
	own_zero = name[0];
	if (limits.enabled && seen > limits.packets)
		return over_limit;
	return -1;
}
