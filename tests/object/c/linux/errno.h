/* The numbers that <bpf/usdt.bpf.h> and the programs here use. */
#ifndef _LINUX_ERRNO_H
#define _LINUX_ERRNO_H

#define ENOENT 2
#define EINVAL 22
#define ESRCH 3

#endif
