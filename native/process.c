/*
 * Containers' processes as the starter knows them (start.c): by their ids in the guard's namespace, which the runtime
 * writes to a file. None of them is its child, so any of these ids may be another process's when it is used. When they
 * were started (proc_pid_stat(5)) distinguishes processes of one id: the kernel reuses an id only after all others, which
 * takes longer than a tick of that clock, a hundredth of a second.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

/* Reads a small file into `text`, as a string. False, with errno, if that is impossible. */
static bool read_text(int folder, const char *path, char *text, size_t size) {
  cleanup_fd int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : TEMP_FAILURE_RETRY(read(fd, text, size - 1));
  if (length < 0) return false;
  text[length] = '\0';
  return true;
}

/* False, with EINVAL. */
static bool is_invalid(void) {
  errno = EINVAL;
  return false;
}

pid_t read_pid_file(const char *path) {
  char text[32];
  if (!read_text(AT_FDCWD, path, text, sizeof text)) return -1;
  int process = atoi(text);
  if (process > 0) return process;
  errno = EINVAL;
  return -1;
}

/* Numbers of the fields of /proc/PID/stat. */
enum { PARENT = 4, START = 22 };

/* Reads a field of /proc/PID/stat that is no zero; 0 if the process is gone. False, with errno, if that is impossible. */
static bool find_field(pid_t process, int field, unsigned long long *value) {
  char path[32], text[1024];
  *value = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", process);
  if (!read_text(AT_FDCWD, path, text, sizeof text)) return errno == ENOENT || errno == ESRCH;
  /* The second field is the program's name, which may hold anything. */
  char *rest = strrchr(text, ')');
  for (int at = 2; at < field && rest != NULL; at++) rest = strchr(rest + 1, ' ');
  return (rest != NULL && sscanf(rest, " %llu", value) == 1 && *value != 0) || is_invalid();
}

bool identify(int host_proc, pid_t process, struct identity *identity) {
  char path[64], text[512];
  *identity = (struct identity){.guard = process};
  cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
  if (pidfd < 0) return errno == ESRCH;
  /* A pidfd that was opened here has the id in the host's namespace in its fdinfo, read through the host's /proc. */
  snprintf(path, sizeof path, "self/fdinfo/%d", pidfd);
  if (!read_text(host_proc, path, text, sizeof text) || !find_field(process, START, &identity->start)) return false;
  const char *line = strstr(text, "Pid:");
  if (line == NULL || sscanf(line, "Pid: %d", &identity->host) != 1) return is_invalid();
  if (identity->host < 0) identity->host = 0;
  return true;
}

/*
 * SIGKILL for the children of a process of one thread that was started at `start`. Each is opened first. It is that
 * process's child if the process is still the one meant after it was seen to be the child's parent. A child that cannot be
 * killed ends with its container.
 */
static void kill_children(pid_t process, unsigned long long start) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", process, process);
  if (!read_text(AT_FDCWD, path, text, sizeof text)) return;
  char *rest;
  for (char *at = text;; at = rest) {
    pid_t child = (pid_t)strtol(at, &rest, 10);
    if (rest == at) return;
    cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    unsigned long long parent, found;
    if (pidfd >= 0 && find_field(child, PARENT, &parent) && parent == (unsigned long long)process &&
        find_field(process, START, &found) && found == start) {
      (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    }
  }
}

bool kill_identified(pid_t process, unsigned long long start) {
  if (process <= 1 || start == 0) return is_invalid();
  /* Opened first and examined then: what is examined is the one that was opened, or a younger one. */
  cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
  /* The last two: its id is a thread's by now. */
  if (pidfd < 0) return errno == ESRCH || errno == EINVAL || errno == ENOENT;
  unsigned long long found;
  if (!find_field(process, START, &found)) return false;
  if (found != start) return true;
  kill_children(process, start);
  return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0 || errno == ESRCH;
}
