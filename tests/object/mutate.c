// Opens mutated objects with the native library, each in a child process with little memory: what kills one is printed.
//
//   mutate LIBRARY FIELDS PINS FIRST COUNT LOADS OBJECT...
//
// Number FIRST to FIRST + COUNT - 1, one of each LOADS of them also loaded (none if LOADS is 0). The number alone decides
// what a mutated object is, so the same objects and `NUMBER 1 1` do it again. FIELDS is how many numbers the
// library's record of a map has, PINS where maps would be pinned. With a folder in MUTATE_WRITE they are only written there, each by its number. A line "dead NUMBER of OBJECT: signal N" for each that did not end by itself, and at last what became of all.
#include <dlfcn.h>
#include <elf.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OBJECTS = 128, SIZE = 1 << 20, LOG = 1 << 16, OUT = 1 << 22, MEMORY = 1 << 30, SECONDS = 60, MOST_FIELDS = 64 };
/* Larger maps are not made: what is tested is a loader, not the memory of this machine. */
static const uint64_t LARGEST_MAPS = 1 << 24;
enum { REFUSED = 1, OPENED, LOADED };

static unsigned char *seeds[OBJECTS], bytes[SIZE], out[OUT], text[LOG];
static size_t lengths[OBJECTS];
static uint64_t state;
static unsigned map_fields;

static uint32_t under(uint32_t limit) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return limit ? (uint32_t)(state >> 11) % limit : 0;
}

static const uint32_t EDGES[] = {
    0, 1, 2, 3, 4, 7, 8, 16, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0x1000000, 0x4000000, 0x13000000,
    0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff,
};
static uint32_t edge(void) { return EDGES[under(sizeof EDGES / sizeof *EDGES)]; }

static Elf64_Shdr *any_section(size_t length) {
    Elf64_Ehdr *header = (void *)bytes;
    if (length < sizeof *header || header->e_shnum == 0 || header->e_shoff % 8 || header->e_shoff > length) return NULL;
    if ((length - header->e_shoff) / sizeof(Elf64_Shdr) < header->e_shnum) return NULL;
    return (Elf64_Shdr *)(bytes + header->e_shoff) + under(header->e_shnum);
}

/* A word of a section: sections are equally likely, so small ones (symbols, relocations, BTF) are hit often. */
static void change_content(size_t length) {
    for (int tries = 0; tries < 50; tries++) {
        Elf64_Shdr *section = any_section(length);
        if (!section) return;
        uint64_t size = section->sh_size, at = section->sh_offset;
        if (section->sh_type == SHT_NOBITS || size < 4 || size > length || at > length - size) continue;
        uint32_t value, *words = (void *)(bytes + at);
        if (under(3) == 0) value = under(256);
        else if (under(2)) value = edge();
        else memcpy(&value, &words[under(size / 4)], 4);
        memcpy(&words[under(size / 4)], &value, under(3) ? 4 : 1 + under(2));
        return;
    }
}

static void change_header(size_t length) {
    Elf64_Shdr *section = any_section(length);
    if (!section) return;
    uint64_t value = under(2) ? edge() : under(length);
    switch (under(7)) {
    case 0: section->sh_offset = value; break;
    case 1: section->sh_size = value; break;
    case 2: section->sh_type = under(2) ? value : under(19); break;
    case 3: section->sh_link = under(40); break;
    case 4: section->sh_info = under(40); break;
    case 5: section->sh_entsize = value; break;
    case 6: section->sh_name = under(400); break;
    }
}

static size_t mutated(size_t length) {
    uint32_t value;
    for (int times = 1 + under(4); times > 0; times--)
        switch (under(8)) {
        case 0: bytes[under(length)] ^= 1 << under(8); break;
        case 1: bytes[under(length)] = under(256); break;
        case 2: if (length > 8) value = edge(), memcpy(bytes + under(length - 4) / 4 * 4, &value, 4); break;
        case 3: if (under(6) == 0) length = 1 + under(length); break;
        case 4: change_header(length); break;
        default: change_content(length);
        }
    return length;
}

static int (*object_open)(const void *, unsigned, const void *, unsigned, void *, unsigned);
static int (*object_load)(unsigned, void *, unsigned);
static int (*object_describe)(unsigned, unsigned, void *, unsigned);
static int (*object_read)(unsigned, unsigned, unsigned, unsigned, void *, unsigned);
static int (*object_close)(unsigned);

/* Whether its maps together are small; `length` bytes of records are in `out`. */
static int has_small_maps(int length) {
    uint64_t total = 0;
    for (int at = 0; at < length;) {
        uint32_t fields[MOST_FIELDS];
        at += strlen((char *)out + at) + 1;
        at += strlen((char *)out + at) + 1;
        memcpy(fields, out + at, map_fields * sizeof *fields);
        at += map_fields * sizeof *fields;
        total += ((uint64_t)fields[2] + fields[3] + 64) * fields[4];
        if (fields[3] > LARGEST_MAPS || fields[4] > LARGEST_MAPS || total > LARGEST_MAPS) return 0;
    }
    return length >= 0;
}

static int use(size_t length, const char *options, unsigned options_length, int is_loaded) {
    int handle = object_open(bytes, length, options, options_length, text, LOG), result = -1;
    if (handle < 0) return REFUSED;
    object_describe(handle, 0, out, OUT);
    object_read(handle, 0, 0, 0, out, OUT);
    for (unsigned i = 0; i < 32; i++) {
        object_read(handle, 1, i, 0, out, OUT);
        object_read(handle, 2, i, 0, out, OUT);
    }
    if (is_loaded && has_small_maps(object_describe(handle, 1, out, OUT))) result = object_load(handle, text, LOG);
    object_close(handle);
    return result == 0 ? LOADED : OPENED;
}

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) fprintf(stderr, "mutate: %s\n", dlerror()), exit(2);
    return found;
}

static void use_library(const char *path) {
    void *library = dlopen(path, RTLD_NOW);
    if (!library) fprintf(stderr, "mutate: %s\n", dlerror()), exit(2);
    object_open = symbol(library, "bpf_object_open"), object_load = symbol(library, "bpf_object_load");
    object_describe = symbol(library, "bpf_object_describe"), object_read = symbol(library, "bpf_object_read");
    object_close = symbol(library, "bpf_object_close");
}

static void write_to(const char *folder, long number, size_t length) {
    char path[512];
    snprintf(path, sizeof path, "%s/%ld.o", folder, number);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, length, file) != length) perror(path), exit(2);
    fclose(file);
}

int main(int count, char **arguments) {
    if (count < 8 || count - 7 > OBJECTS) return 2;
    map_fields = atoi(arguments[2]);
    if (map_fields < 10 || map_fields > MOST_FIELDS) return 2;
    long first = atol(arguments[4]), all = atol(arguments[5]), loads = atol(arguments[6]), dead = 0, ends[4] = {};
    char options[512] = "mutated";
    unsigned options_length = 8 + strlen(strncpy(options + 8, arguments[3], 400)) + 4; /* three more are empty */
    for (int i = 7; i < count; i++) {
        FILE *file = fopen(arguments[i], "rb");
        seeds[i - 7] = malloc(SIZE);
        if (!file || !seeds[i - 7]) return perror(arguments[i]), 2;
        lengths[i - 7] = fread(seeds[i - 7], 1, SIZE, file);
        fclose(file);
    }
    const char *folder = getenv("MUTATE_WRITE");
    if (!folder) use_library(arguments[1]);
    for (long number = first; number < first + all; number++) {
        state = (number + 1) * 0x9e3779b97f4a7c15ull;
        for (int i = 0; i < 8; i++) under(0);
        int which = under(count - 7);
        memcpy(bytes, seeds[which], lengths[which]);
        size_t length = mutated(lengths[which]);
        if (folder) {
            write_to(folder, number, length);
            continue;
        }
        pid_t child = fork();
        if (child == 0) {
            struct rlimit memory = { MEMORY, MEMORY }, core = {};
            setrlimit(RLIMIT_AS, &memory);
            setrlimit(RLIMIT_CORE, &core);
            alarm(SECONDS);
            _exit(use(length, options, options_length, loads && number % loads == 0));
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child) return perror("mutate"), 2;
        if (WIFEXITED(status) && WEXITSTATUS(status) <= LOADED) {
            ends[WEXITSTATUS(status)]++;
            continue;
        }
        dead++;
        printf("dead %ld of %s: %s %d\n", number, arguments[7 + which], WIFSIGNALED(status) ? "signal" : "exit status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    printf("%ld refused, %ld opened, %ld loaded, %ld dead\n", ends[REFUSED], ends[OPENED], ends[LOADED], dead);
    return dead > 0;
}
