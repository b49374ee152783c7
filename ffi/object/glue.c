/* libbpf.c and usdt.c, and what only C can do with them: their messages (a va_list), and private parts of maps and links. */
#include <stdlib.h>
#define getenv(name) ((char *)NULL) /* what the environment says is the program's affair, not a library's inside of it */
#include "libbpf.c"
#include "usdt.c"

static _Thread_local char *log_text;
static _Thread_local size_t log_size, log_used; /* both without the final NUL */

/* Appends a message. What there is no room for is left out at the beginning: the last words say what was refused. */
static int keep(enum libbpf_print_level level, const char *format, va_list args)
{
	va_list again;
	char *whole;
	int length;

	if (level > LIBBPF_WARN || !log_size)
		return 0;
	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, args);
	whole = length > 0 ? malloc(length + 1L) : NULL;
	if (whole) {
		size_t kept, count = (size_t)length < log_size ? length : log_size;

		vsnprintf(whole, length + 1L, format, again);
		kept = log_used < log_size - count ? log_used : log_size - count;
		memmove(log_text, log_text + log_used - kept, kept);
		memcpy(log_text + kept, whole + length - count, count);
		log_used = kept + count;
		log_text[log_used] = 0;
		free(whole);
	}
	va_end(again);
	return 0;
}

/* From now on, messages of this thread go there; nowhere if it is NULL. */
void glue_log_to(char *text, size_t room)
{
	log_text = text;
	log_size = text && room ? room - 1 : 0;
	log_used = 0;
	if (text && room)
		*text = 0;
	libbpf_set_print(keep);
}

/* The fd of a map that was made; of one that is not to be, libbpf gives that of a file in its place. */
int glue_map_fd(const struct bpf_map *map)
{
	return map->autocreate || map->reused ? bpf_map__fd(map) : -1;
}

/* Lets a map be one that is there already. Memory of variables is as large as the map was declared. */
int glue_map_reuse(struct bpf_map *map, int fd)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	if (bpf_map_get_info_by_fd(fd, &info, &size))
		return -errno;
	if (bpf_map__is_struct_ops(map) || info.type == BPF_MAP_TYPE_STRUCT_OPS)
		return -EINVAL; /* its value is prepared when it is made */
	if (map->mmaped && (info.type != map->def.type || info.value_size != map->def.value_size ||
			    info.max_entries != map->def.max_entries))
		return -EINVAL;
	return bpf_map__reuse_fd(map, fd);
}

/* Likewise. */
int glue_map_set_max_entries(struct bpf_map *map, __u32 count)
{
	return map->mmaped ? -EINVAL : bpf_map__set_max_entries(map, count);
}

/* What a map holds the variables of; an arena has no kind of its own. */
unsigned glue_section_kind(const struct bpf_map *map)
{
	return map->libbpf_type == LIBBPF_MAP_UNSPEC && map->mmaped && !map->st_ops ? LIBBPF_MAP_DATA : map->libbpf_type;
}

/* The variables of a section. (bpf_map__initial_value also gives struct_ops, which holds pointers, and forgets where an
 * arena has its variables once it is loaded.) */
void *glue_variables(const struct bpf_map *map, size_t *size)
{
	const struct bpf_object *object = map->obj;

	if (map->st_ops || !map->mmaped)
		return NULL;
	if (map->def.type != BPF_MAP_TYPE_ARENA) {
		*size = map->def.value_size;
		return map->mmaped;
	}
	*size = object->arena_data_sz;
	return map->mmaped == object->arena_data ? map->mmaped : map->mmaped + object->arena_data_off;
}

/* Once loaded: libbpf maps the variables of maps that it made; those of reused ones are in memory of their own too. */
void glue_map_reused_sections(struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		size_t size = bpf_map_mmap_sz(map);
		int prot = map->def.map_flags & BPF_F_RDONLY_PROG ? PROT_READ : PROT_READ | PROT_WRITE;

		if (!map->reused || !map->mmaped)
			continue;
		if (map->mmaped == object->arena_data) {
			map->mmaped = NULL;
		} else if (mmap(map->mmaped, size, prot, MAP_SHARED | MAP_FIXED, map->fd, 0) == MAP_FAILED) {
			munmap(map->mmaped, size); /* a map that cannot be mapped */
			map->mmaped = NULL;
		}
	}
}

/* The fd that a link holds beside its own, -1 if none: once the kernel's link exists, nobody needs it. */
int glue_other_fd(const struct bpf_link *link)
{
	if (link->detach == &bpf_link_perf_detach) {
		int fd = container_of(link, struct bpf_link_perf, link)->perf_event_fd;

		return fd == link->fd ? -1 : fd;
	}
	return -1;
}

/* Gives the fd of the kernel's link away that is all of a USDT probe, -1 if each of its places has a link of its own.
 * What stays are the probe's places in the map of specs, which its end gives back. */
int glue_take_fd(struct bpf_link *link)
{
	struct bpf_link_usdt *usdt;
	int fd;

	if (link->detach != &bpf_link_usdt_detach)
		return -1;
	usdt = container_of(link, struct bpf_link_usdt, link);
	if (!usdt->multi_link)
		return -1;
	fd = bpf_link__fd(usdt->multi_link);
	bpf_link__disconnect(usdt->multi_link);
	bpf_link__destroy(usdt->multi_link); /* only memory */
	usdt->multi_link = NULL;
	return fd;
}
