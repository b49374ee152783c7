// What the kernel was configured with, and its version.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

extern int LINUX_KERNEL_VERSION __kconfig;
extern __u32 CONFIG_HZ __kconfig;
extern enum libbpf_tristate CONFIG_BPF_SYSCALL __kconfig;
extern bool CONFIG_NO_SUCH_OPTION __kconfig __weak;
extern unsigned long CONFIG_NO_SUCH_NUMBER __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[32] __kconfig __weak;

int version;
__u32 hz;
bool has_bpf, is_weak;
char hostname[32];

SEC("socket")
int read_config(struct __sk_buff *skb)
{
	version = LINUX_KERNEL_VERSION;
	hz = CONFIG_HZ;
	has_bpf = CONFIG_BPF_SYSCALL == TRI_YES;
	is_weak = CONFIG_NO_SUCH_OPTION || CONFIG_NO_SUCH_NUMBER;
	__builtin_memcpy(hostname, CONFIG_DEFAULT_HOSTNAME, sizeof(hostname));
	return 0;
}
