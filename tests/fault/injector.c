/*
 * Runs a command and makes one system call of its fail: injector NUMBER,NUMBER... COMMAND...
 *
 * The kernel hands over every call of these numbers (seccomp's user notification). Those that the native library makes
 * are counted or fail as the command asks; all others go on. The command asks by an fcntl of the fd ORDER, which no
 * process has open: see workload.ts.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ORDER = 0x7fb0f000, MOST_NUMBERS = 200, MOST_CALLS = 1000, MOST_RANGES = 64 };
/* What is asked for: the second argument of the order. */
enum { STOP, COUNT, COUNTED, ARM };

static struct { uint64_t from, to; } library[MOST_RANGES];
static int ranges;
static struct { int number, command, count; } calls[MOST_CALLS];
static int called, counting;
static struct { int number, command, nth, errnum, seen, hits; } fault;

/* Where the library is: each worker of Deno loads its own. */
static void find_library(pid_t pid) {
  char path[64], line[512];
  snprintf(path, sizeof path, "/proc/%d/maps", pid);
  FILE *maps = fopen(path, "r");
  if (!maps) return;
  ranges = 0;
  while (ranges < MOST_RANGES && fgets(line, sizeof line, maps)) {
    unsigned long from, to;
    if (strstr(line, "memfd:bpf_link") && strstr(line, "r-xp") && sscanf(line, "%lx-%lx", &from, &to) == 2) {
      library[ranges].from = from;
      library[ranges++].to = to;
    }
  }
  fclose(maps);
}

static int is_library(uint64_t address) {
  for (int i = 0; i < ranges; i++)
    if (address >= library[i].from && address < library[i].to) return 1;
  return 0;
}

/* What tells apart calls of one number. */
static int command_of(const struct seccomp_data *data) {
  switch (data->nr) {
    case SYS_bpf: return (int)(data->args[0] & 0xffff);
    case SYS_fcntl: case SYS_ioctl: case SYS_fsconfig: return (int)data->args[1];
    default: return -1;
  }
}

static int order(const struct seccomp_data *data, pid_t pid) {
  int a = (int)data->args[2], b = (int)data->args[3], c = (int)data->args[4], d = (int)data->args[5];
  switch ((int)data->args[1]) {
    case COUNT:
      find_library(pid);
      counting = 1, called = 0;
      return 0;
    case COUNTED: /* field b of call a; commands may be negative, so all are one more */
      if (a >= called) return -ENOENT;
      return b == 0 ? calls[a].number : b == 1 ? calls[a].command + 1 : calls[a].count;
    case ARM:
      find_library(pid);
      counting = 0;
      fault.number = a, fault.command = b - 1, fault.nth = c, fault.errnum = d, fault.seen = fault.hits = 0;
      return 0;
    default:
      counting = 0;
      a = fault.hits, fault.errnum = fault.hits = 0;
      return a;
  }
}

static void count(int number, int command) {
  int i = 0;
  while (i < called && (calls[i].number != number || calls[i].command != command)) i++;
  if (i == MOST_CALLS) return;
  if (i == called) calls[called].number = number, calls[called].command = command, calls[called++].count = 0;
  calls[i].count++;
}

/* Whether this call is to fail. */
static int is_next(int number, int command) {
  if (!fault.errnum || fault.number != number || fault.command != command) return 0;
  fault.seen++;
  if (fault.nth != 0 && fault.nth != fault.seen) return 0; /* 0: all of them */
  fault.hits++;
  return 1;
}

static int install(const char *numbers) {
  struct sock_filter filter[MOST_NUMBERS + 3];
  int list[MOST_NUMBERS], n = 0;
  char *copy = strdup(numbers);
  for (char *number = strtok(copy, ","); number && n < MOST_NUMBERS; number = strtok(0, ",")) list[n++] = atoi(number);
  filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int i = 0; i < n; i++) filter[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, list[i], n - i, 0);
  filter[n + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  filter[n + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
  struct sock_fprog program = {n + 3, filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void pass(int socket, int *fd, int send) {
  char byte = 0, control[CMSG_SPACE(sizeof *fd)] = {0};
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (send) {
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof *fd);
    memcpy(CMSG_DATA(header), fd, sizeof *fd);
    sendmsg(socket, &message, 0);
  } else {
    *fd = -1;
    if (recvmsg(socket, &message, 0) > 0 && CMSG_FIRSTHDR(&message)) memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof *fd);
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int sockets[2], listener;
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets)) return 3;
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if ((listener = install(argv[1])) < 0) _exit(3);
    pass(sockets[0], &listener, 1);
    close(listener);
    execvp(argv[2], argv + 2);
    _exit(127);
  }
  close(sockets[0]);
  pass(sockets[1], &listener, 0);
  if (listener < 0) return 3;
  int closed = memfd_create("closed by the injector", MFD_CLOEXEC), status = 0;
  struct seccomp_notif *request = calloc(1, 4096);
  struct seccomp_notif_resp *response = calloc(1, 4096);
  while (waitpid(child, &status, WNOHANG) == 0) {
    struct pollfd ready = {listener, POLLIN, 0};
    poll(&ready, 1, 100);
    if (!(ready.revents & POLLIN)) {
      if (ready.revents) usleep(1000); /* all threads are gone, but the process is not yet waited for */
      continue;
    }
    memset(request, 0, sizeof *request);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, request)) continue;
    const struct seccomp_data *data = &request->data;
    int command = command_of(data);
    memset(response, 0, sizeof *response);
    response->id = request->id;
    response->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    if (data->nr == SYS_fcntl && (uint32_t)data->args[0] == ORDER) {
      int result = order(data, request->pid);
      response->flags = 0;
      if (result < 0) response->error = result;
      else response->val = result;
    } else if (is_library(data->instruction_pointer)) {
      if (counting) count(data->nr, command);
      if (is_next(data->nr, command)) {
        /* Linux closes an fd also where it reports an error: another file takes its place, which the command knows */
        struct seccomp_notif_addfd addfd = {
          .id = request->id, .flags = SECCOMP_ADDFD_FLAG_SETFD, .srcfd = closed, .newfd = (uint32_t)data->args[0], .newfd_flags = 02000000};
        if (data->nr == SYS_close) ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd);
        response->flags = 0;
        response->error = -fault.errnum;
      }
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, response);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
