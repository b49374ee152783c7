// The kernel's version and features alone: asks for no configuration file.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool LINUX_HAS_BPF_COOKIE __kconfig;
extern bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;

int version, features;

SEC("socket")
int read_version(struct __sk_buff *skb)
{
	version = LINUX_KERNEL_VERSION;
	features = LINUX_HAS_BPF_COOKIE + 2 * LINUX_HAS_SYSCALL_WRAPPER;
	return 0;
}
