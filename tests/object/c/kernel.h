/*
 * The few members of the kernel's structs that the programs here read. Their offsets are found when an object is loaded
 * (CO-RE), so one file fits every kernel, and nothing has to be dumped from the one that compiles.
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__ /* as bpftool's header is known to libbpf's: registers have the kernel's names */

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

/* Atomic, by an instruction of all kernels: that of __sync_fetch_and_add(), which gives the old value too, is of 5.12. */
#define add_to(to, value) ((void)__atomic_fetch_add(to, value, __ATOMIC_RELAXED))

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Only one of them is the kernel's: that of the processor which the object is for. */
struct pt_regs {
	unsigned long r10, r9, r8, ax, cx, dx, si, di, ip, sp, bp;
};

struct user_pt_regs {
	u64 regs[31], sp, pc;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	unsigned int f_flags;
};

struct mm_struct {
	unsigned long arg_start;
};

struct nsproxy;

struct task_struct {
	unsigned int flags;
	int pid, tgid;
	struct task_struct *real_parent, *group_leader;
	struct mm_struct *mm;
	char comm[16];
};

struct trace_event_raw_sched_process_exec {
	u32 __data_loc_filename;
	int pid, old_pid;
};

struct trace_event_raw_sys_enter {
	long id;
	unsigned long args[6];
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id, seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_map;

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key, *value;
};

struct sock_common {
	unsigned short skc_family;
};

struct sock {
	struct sock_common __sk_common;
	u8 sk_protocol : 8;
	int sk_rcvbuf;
};

struct socket {
	short type;
	struct sock *sk;
};

struct sk_buff {
	unsigned int len;
	u8 cloned : 1;
	u8 pkt_type : 3;
};

struct net_device {
	int ifindex;
	char name[16];
};

struct bpf_nf_ctx {
	void *state;
	struct sk_buff *skb;
};

struct cgroup;
struct inode;
struct linux_binprm;

#pragma clang attribute pop

/* Packets. */
struct ethhdr {
	u8 h_dest[6], h_source[6];
	__be16 h_proto;
} __attribute__((packed));

struct iphdr {
	u8 ihl : 4, version : 4, tos;
	__be16 tot_len, id, frag_off;
	u8 ttl, protocol;
	__be16 check;
	__be32 saddr, daddr;
};

struct udphdr {
	__be16 source, dest, len, check;
};

#define ETH_P_IP 0x0800
#define AF_INET 2
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

#endif
