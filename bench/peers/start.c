// Times whole processes, with as little of its own as there can be.
//
//   start COMMAND [ARGUMENT]…
//
// Reads lines "start COUNT" and answers each with the nanoseconds from the start of COMMAND to its end, as twin.c does.
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

enum { ATTEMPTS = 20 }; // most peers fail on links that others are just making or ending

static double nanoseconds(char **command, posix_spawn_file_actions_t *silent) {
    for (int i = 0; i < ATTEMPTS; i++) {
        struct timespec start, end;
        pid_t pid;
        int status;
        clock_gettime(CLOCK_MONOTONIC, &start);
        if (posix_spawnp(&pid, command[0], silent, NULL, command, environ) != 0) break;
        if (waitpid(pid, &status, 0) != pid) break;
        clock_gettime(CLOCK_MONOTONIC, &end);
        if (status == 0) return (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec);
    }
    fprintf(stderr, "start: %s does not run\n", command[0]);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    posix_spawn_file_actions_t silent;
    posix_spawn_file_actions_init(&silent);
    posix_spawn_file_actions_addopen(&silent, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&silent, 1, "/dev/null", O_WRONLY, 0);
    for (long count; scanf(" start %ld", &count) == 1;) {
        double sum = 0;
        for (long i = 0; i < count; i++) sum += nanoseconds(argv + 1, &silent);
        printf("%f\n", sum / count);
        fflush(stdout);
    }
}
