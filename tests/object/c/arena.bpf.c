// An arena: memory that the program and user space share, with a global variable in it.
// clang 19
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4);
} arena SEC(".maps");

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *address, __u32 pages, int node, __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void __arena *pointer, __u32 pages) __ksym;

__u64 __arena shared SEC(".addr_space.1") = 5;

SEC("syscall")
int use_arena(void *context)
{
	__u64 __arena *page = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);

	if (!page)
		return 1;
	*page = ++shared;
	bpf_arena_free_pages(&arena, page, 1);
	return 0;
}
