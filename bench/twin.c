// The C side of `deno task bench`: the same work with libbpf's low-level calls.
//
//   twin CGROUP PIN [threaded]
//   twin walk | first
//   twin produce PROGRAM MICROSECONDS
//   twin ring_rate | ring_latency MAP COUNT
//
// Reads lines "OPERATION COUNT" and answers each with the nanoseconds that one operation took. `threaded` starts a
// second thread, which sleeps: from then on the kernel counts references to fds, as it does in every Deno process.
// `walk` and `first` read the infos of all links, or of one, and end.
// `produce` runs a program of the network by hand, with a pause between two runs or, without one, many at once, until its
// input is closed. `ring_rate` and `ring_latency` take COUNT records of a ring buffer: nanoseconds for each, or from the
// time in the record to its being there (the median).
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <limits.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PATH_FD (1 << 14) // the path of OBJ_GET begins at an fd: since Linux 6.6

static int checked(int result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "twin: %s: %s\n", what, strerror(errno));
        exit(1);
    }
    return result;
}

static int load(enum bpf_prog_type type, enum bpf_attach_type attach_type, __u32 btf_id, int answer) {
    const struct bpf_insn instructions[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = answer },
        { .code = BPF_JMP | BPF_EXIT },
    };
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach_type, .attach_btf_id = btf_id);
    return checked(bpf_prog_load(type, NULL, "GPL", instructions, 2, &options), "load");
}

static const char *pin_path;
static int cgroup, programs[2], held, iterator, link_fd;
static __u32 link_id;

static int attach(void) {
    return checked(bpf_link_create(programs[0], cgroup, BPF_CGROUP_INET_EGRESS, NULL), "create");
}

static void next_id(void) {
    __u32 id;
    checked(bpf_link_get_next_id(link_id - 1, &id), "next id");
    if (id != link_id) exit(2);
}

static void fd_by_id(void) { close(checked(bpf_link_get_fd_by_id(link_id), "fd by id")); }

static void update(void) {
    held ^= 1;
    checked(bpf_link_update(link_fd, programs[held], NULL), "update");
}

static void update_expected(void) {
    LIBBPF_OPTS(bpf_link_update_opts, options, .flags = BPF_F_REPLACE, .old_prog_fd = programs[held]);
    held ^= 1;
    checked(bpf_link_update(link_fd, programs[held], &options), "update with expected old");
}

static void info(void) {
    struct bpf_link_info info = {};
    __u32 size = sizeof info;
    checked(bpf_obj_get_info_by_fd(link_fd, &info, &size), "info");
    if (info.id != link_id || info.cgroup.cgroup_id == 0) exit(2);
}

static void pin(void) {
    checked(bpf_obj_pin(link_fd, pin_path), "pin");
    checked(unlink(pin_path), "unlink");
}

// Pins, and unpins by the rule of Link.unpin: what is removed is that link, under the lock of the directory.
static void pin_proved(void) {
    static char directory[PATH_MAX];
    const char *name = strrchr(pin_path, '/') + 1;
    char target;
    checked(bpf_obj_pin(link_fd, pin_path), "pin");
    snprintf(directory, sizeof directory, "%.*s", (int)(name - pin_path), pin_path);
    int at = checked(open(directory, O_RDONLY | O_CLOEXEC), "directory");
    checked(flock(at, LOCK_EX | LOCK_NB), "lock");
    if (readlinkat(at, name, &target, 1) >= 0 || errno != EINVAL) exit(2); // a symbolic link
    __u64 get[] = { (__u64)(unsigned long)name, (__u64)PATH_FD << 32, at };
    int pinned = checked(syscall(SYS_bpf, BPF_OBJ_GET, get, sizeof get), "open pin"); // libbpf has no path_fd yet
    if (bpf_link_update(pinned, -1, NULL) != -EBADF) exit(2); // no link
    struct bpf_link_info told = {};
    __u32 size = 8;
    checked(bpf_obj_get_info_by_fd(pinned, &told, &size), "info");
    if (told.id != link_id) exit(2);
    checked(unlinkat(at, name, 0), "unlinkat");
    close(pinned);
    close(at);
}

static void open_pinned(void) { close(checked(bpf_obj_get(pin_path), "open pin")); }

static void create_close(void) { close(attach()); }

static void create(void) {
    int fd = attach();
    checked(bpf_link_detach(fd), "detach");
    close(fd);
}

static void iter(void) { close(checked(bpf_link_create(iterator, 0, BPF_TRACE_ITER, NULL), "create iter")); }

// So many links of the machine with their infos; the names of iterators and tracepoints take a second call.
static void walk_up_to(long limit) {
    for (__u32 id = 0; limit > 0 && bpf_link_get_next_id(id, &id) == 0;) {
        int fd = bpf_link_get_fd_by_id(id);
        if (fd < 0) continue; // it ended, or is just being made
        char name[128];
        struct bpf_link_info told = {};
        __u32 size = sizeof told;
        checked(bpf_obj_get_info_by_fd(fd, &told, &size), "info");
        if (told.type == BPF_LINK_TYPE_ITER || told.type == BPF_LINK_TYPE_RAW_TRACEPOINT) {
            memset(&told, 0, sizeof told);
            told.iter.target_name = (__u64)(unsigned long)name; // and of tracepoints: they lie at the same place
            told.iter.target_name_len = sizeof name;
            checked(bpf_obj_get_info_by_fd(fd, &told, &size), "name");
        }
        close(fd);
        limit--;
    }
}

static void walk(void) { walk_up_to(LONG_MAX); }

// All that the iterator writes whose link is pinned at the path.
static void iterate(void) {
    static char room[1 << 16];
    static int pinned;
    if (pinned == 0) pinned = checked(bpf_obj_get(pin_path), "open pin");
    int run = checked(bpf_iter_create(pinned), "run iterator");
    while (checked(read(run, room, sizeof room), "read") > 0) {}
    close(run);
}

static const struct {
    const char *name;
    void (*run)(void);
} operations[] = {
    { "next_id", next_id }, { "fd_by_id", fd_by_id }, { "update", update }, { "update_expected", update_expected },
    { "info", info },       { "pin", pin },           { "create", create }, { "iter", iter },
    { "walk", walk },       { "iterate", iterate },   { "open_pinned", open_pinned }, { "create_close", create_close },
    { "pin_proved", pin_proved },
};

static double nanoseconds(void (*run)(void), long count) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 0; i < count; i++) run();
    clock_gettime(CLOCK_MONOTONIC, &end);
    return ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / count;
}

static int produce(int program, long pause_us) {
    char packet[64] = {};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof packet,
                .repeat = pause_us ? 1 : 100000);
    struct pollfd input = { .fd = 0, .events = POLLIN };
    while (poll(&input, 1, 0) == 0) {
        checked(bpf_prog_test_run_opts(program, &options), "test run");
        if (pause_us) usleep(pause_us);
    }
    return 0;
}

static long taken, wanted;
static double *delays;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static int take(void *context, void *record, size_t size) {
    if (delays != NULL && taken < wanted) delays[taken] = now() - *(__u64 *)record;
    return taken++ == wanted - 1 ? -1 : 0;
}

static int ascending(const void *a, const void *b) { return *(double *)a < *(double *)b ? -1 : 1; }

static int consume(int map, long count, int is_latency) {
    struct ring_buffer *ring = ring_buffer__new(map, take, NULL, NULL);
    if (ring == NULL) return 1;
    wanted = count;
    if (is_latency) delays = malloc(count * sizeof *delays);
    double start = now();
    while (taken < count) ring_buffer__poll(ring, -1);
    double each = (now() - start) / count;
    if (is_latency) qsort(delays, count, sizeof *delays, ascending);
    printf("%f\n", is_latency ? delays[count / 2] : each);
    return 0;
}

static void *sleep_on(void *nothing) {
    for (;;) pause();
    return nothing;
}

int main(int argc, char **argv) {
    if (argc == 2) {
        walk_up_to(strcmp(argv[1], "first") == 0 ? 1 : LONG_MAX);
        return 0;
    }
    if (argc < 3) return 2;
    if (strcmp(argv[1], "produce") == 0)
        return produce(checked(bpf_prog_get_fd_by_id(atoi(argv[2])), "program"), atol(argv[3]));
    if (strncmp(argv[1], "ring_", 5) == 0)
        return consume(checked(bpf_map_get_fd_by_id(atoi(argv[2])), "map"), atol(argv[3]), argv[1][5] == 'l');
    pthread_t thread;
    int is_threaded = argc > 3 && strcmp(argv[3], "threaded") == 0;
    if (is_threaded && pthread_create(&thread, NULL, sleep_on, NULL) != 0) return 1;
    cgroup = checked(open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC), argv[1]);
    pin_path = argv[2];
    for (int i = 0; i < 2; i++) programs[i] = load(BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS, 0, 1);
    int task = checked(libbpf_find_vmlinux_btf_id("task", BPF_TRACE_ITER), "iterator of tasks");
    iterator = load(BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, task, 0);
    link_fd = attach();
    struct bpf_link_info made = {};
    __u32 size = sizeof made;
    checked(bpf_obj_get_info_by_fd(link_fd, &made, &size), "info");
    link_id = made.id;

    char name[32];
    for (long count; scanf("%31s %ld", name, &count) == 2;) {
        for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
            if (strcmp(operations[i].name, name) == 0) printf("%f\n", nanoseconds(operations[i].run, count));
        fflush(stdout);
    }
}
