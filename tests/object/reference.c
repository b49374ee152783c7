// What libbpf's own loader in C makes of an object, to compare with what BpfObject makes of it.
//
//   reference load OBJECT PINS PROGRAM... | reference show p:NAME:ID... m:NAME:ID...
//   reference time OBJECT COUNT
//   reference sections NAME...
//
// `load` loads an object, with these programs alone if any are named, and prints a line for each program and map that it
// made, or the step that failed and its errno. `show` prints the same lines for programs and maps that another process
// holds. Instructions are those that the kernel's verifier left, without what differs between two loads: ids of maps
// become their place in the list, and addresses zero. `time` answers each line of its input with the
// nanoseconds that COUNT loads took, each from opening to closing. `sections` prints all names of sections that libbpf
// knows, as it lists them itself, and a line with type and attach type for each NAME.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static __u32 maps[256];
static unsigned map_count;

static __u32 place_of(__u32 id) {
    for (unsigned i = 0; i < map_count; i++) if (maps[i] == id) return i;
    return ~0u;
}

static void note_map(int fd) {
    struct bpf_map_info info = {};
    __u32 size = sizeof info;
    if (fd >= 0 && map_count < 256 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0) maps[map_count++] = info.id;
}

/* Whether the upper half of a constant is that of an address of the kernel, or of the memory of a process (an arena). */
static int is_address(__u32 upper) {
    return (upper >= 0xffff0000u && upper != ~0u) || (upper >= 0x1000 && upper <= 0xffff);
}

static void print_program(const char *name, int fd) {
    struct bpf_prog_info info = {};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return;
    __u32 count = info.xlated_prog_len / sizeof(struct bpf_insn), lines = info.nr_line_info, functions = info.nr_func_info;
    struct bpf_insn *instructions = calloc(count + 1, sizeof *instructions);
    __u64 digest = 0xcbf29ce484222325;
    memset(&info, 0, sizeof info);
    info.xlated_prog_insns = (__u64)(long)instructions;
    info.xlated_prog_len = count * sizeof *instructions;
    size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) count = 0;
    for (__u32 i = 0; i < count; i++) {
        struct bpf_insn *at = &instructions[i];
        if (at->code == (BPF_LD | BPF_IMM | BPF_DW) && i + 1 < count) {
            if (at->src_reg == BPF_PSEUDO_MAP_FD || at->src_reg == BPF_PSEUDO_MAP_VALUE) at->imm = place_of(at->imm);
            else if (is_address(at[1].imm)) at->imm = at[1].imm = 0;
        }
    }
    for (__u32 i = 0; i < count * sizeof *instructions; i++) digest = (digest ^ ((__u8 *)instructions)[i]) * 0x100000001b3;
    printf("program %s type %u instructions %u digest %016llx lines %u functions %u tag ", name, info.type, count,
           (unsigned long long)digest, lines, functions);
    for (int i = 0; i < BPF_TAG_SIZE; i++) printf("%02x", info.tag[i]);
    printf("\n");
    if (getenv("REFERENCE_DUMP"))
        for (__u32 i = 0; i < count; i++) {
            struct bpf_insn *at = &instructions[i];
            printf("  %3u: %02x %u %u %d %d\n", i, at->code, at->dst_reg, at->src_reg, at->off, at->imm);
        }
    free(instructions);
}

static void print_map(const char *name, int fd) {
    struct bpf_map_info info = {};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return;
    printf("map %s type %u key %u value %u entries %u flags %u typed %d name %s\n", name, info.type, info.key_size,
           info.value_size, info.max_entries, info.map_flags, info.btf_key_type_id || info.btf_value_type_id, info.name);
}

static int failed(const char *step, int error) {
    printf("failed %s %d\n", step, error < 0 ? -error : error);
    return 3;
}

static struct bpf_object *opened(const char *path, const char *pins) {
    LIBBPF_OPTS(bpf_object_open_opts, options, .pin_root_path = pins);
    return bpf_object__open_file(path, &options);
}

static int load(const char *path, const char *pins, char **programs) {
    struct bpf_object *object = opened(path, pins);
    struct bpf_program *program;
    struct bpf_map *map;
    int error;
    if (object == NULL) return failed("open", errno);
    if (*programs)
        bpf_object__for_each_program(program, object) {
            char **name = programs;
            while (*name && strcmp(*name, bpf_program__name(program))) name++;
            bpf_program__set_autoload(program, *name != NULL);
        }
    error = bpf_object__load(object);
    if (error) return failed("load", error);
    bpf_object__for_each_map(map, object) note_map(bpf_map__fd(map));
    bpf_object__for_each_program(program, object)
        if (bpf_program__fd(program) >= 0) print_program(bpf_program__name(program), bpf_program__fd(program));
    bpf_object__for_each_map(map, object)
        if (bpf_map__fd(map) >= 0) print_map(bpf_map__name(map), bpf_map__fd(map));
    bpf_object__close(object);
    return 0;
}

/* The argument "p:NAME:ID" in its parts; a name may have colons. */
static __u32 parts(char *argument, char **name) {
    char *colon = strrchr(argument, ':');
    *colon = 0;
    *name = argument + 2;
    return strtoul(colon + 1, NULL, 10);
}

static int show(char **arguments) {
    char *name;
    for (char **argument = arguments; *argument; argument++)
        if (**argument == 'm' && map_count < 256) maps[map_count++] = strtoul(strrchr(*argument, ':') + 1, NULL, 10);
    for (; *arguments; arguments++) {
        int is_map = **arguments == 'm';
        __u32 id = parts(*arguments, &name);
        int fd = is_map ? bpf_map_get_fd_by_id(id) : bpf_prog_get_fd_by_id(id);
        if (fd < 0) return failed(name, errno);
        if (is_map) print_map(name, fd);
        else print_program(name, fd);
        close(fd);
    }
    return 0;
}

static int time_loads(const char *path, int count) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int i = 0; i < count; i++) {
            struct bpf_object *object = opened(path, NULL);
            if (object == NULL || bpf_object__load(object) != 0) return failed("load", errno);
            bpf_object__close(object);
        }
        clock_gettime(CLOCK_MONOTONIC, &to);
        printf("%lld\n", ((to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec) / count);
        fflush(stdout);
    }
    return 0;
}

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments) {
    return getenv("REFERENCE_LOG") && level <= LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

static int list(enum libbpf_print_level level, const char *format, va_list arguments) {
    char text[1 << 14];
    vsnprintf(text, sizeof text, format, arguments);
    char *names = strstr(text, "names are:");
    return names ? fputs(names + strlen("names are:"), stdout) : 0;
}

static int sections(char **names) {
    enum bpf_prog_type type;
    enum bpf_attach_type attach_type;
    libbpf_set_print(list);
    libbpf_prog_type_by_name("/", &type, &attach_type);
    libbpf_set_print(quiet);
    for (; *names; names++)
        if (libbpf_prog_type_by_name(*names, &type, &attach_type)) printf("%s unknown\n", *names);
        else printf("%s %s %d\n", *names, libbpf_bpf_prog_type_str(type), attach_type);
    return 0;
}

int main(int count, char **arguments) {
    if (count >= 2 && strcmp(arguments[1], "sections") == 0) return sections(arguments + 2);
    libbpf_set_print(quiet);
    if (count >= 4 && strcmp(arguments[1], "load") == 0) return load(arguments[2], arguments[3], arguments + 4);
    if (count >= 2 && strcmp(arguments[1], "show") == 0) return show(arguments + 2);
    if (count == 4 && strcmp(arguments[1], "time") == 0) return time_loads(arguments[2], atoi(arguments[3]));
    fprintf(stderr, "usage: reference load OBJECT PINS PROGRAM... | show p:NAME:ID... m:NAME:ID... | time OBJECT COUNT | sections NAME...\n");
    return 2;
}
