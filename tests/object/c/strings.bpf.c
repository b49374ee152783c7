// Constants that the compiler makes: strings in .rodata.str1.1, floats, arrays of constants, bpf_printk.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

float ratio = 0.5f;
double precise = 3.25;
const volatile float limit = 1.5f;
static const char suffix[] = { 'a', 'b', 'c', 'd' };
char copy[16];
__u64 bits;

SEC("raw_tp/sched_process_exec")
int use_strings(void *context)
{
	__u32 which = bpf_get_smp_processor_id() & 3;

	bits = *(const volatile __u64 *)&precise;
	bpf_printk("on %d: %llu", which, bits);
	bpf_snprintf(copy, sizeof(copy), "%u of %u", (__u64[]){ which, 4 }, 16);
	if (bpf_strncmp(copy, 4, "one") == 0)
		copy[0] = suffix[which];
	return 0;
}
