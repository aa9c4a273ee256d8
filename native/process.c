/*
 * Containers' processes as the starter knows them (start.c): by their ids in the guard's namespace, which the runtime
 * writes to a file. None of them is its child, so that any of these ids may be another process's by the time that it is
 * used. What tells processes of one id apart is when they were started (proc_pid_stat(5)): an id comes again only when
 * all others have been given, which takes longer than the kernel's clock, of a hundredth of a second, can hide.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Reads a small file into `text`, as a string. False, with errno, if that is impossible. */
static bool read_text(int folder, const char *path, char *text, size_t size) {
  int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, size - 1);
  int cause = errno;
  close(fd); /* nothing was written */
  errno = cause;
  if (length < 0) return false;
  text[length] = '\0';
  return true;
}

pid_t read_pid_file(const char *path) {
  char text[32];
  if (!read_text(AT_FDCWD, path, text, sizeof text)) return -1;
  int process = atoi(text);
  if (process > 0) return process;
  errno = EINVAL;
  return -1;
}

/* Finds out when a process was started, in the kernel's ticks since its boot; 0 if it is gone. False, with errno, if not. */
static bool find_start(pid_t process, unsigned long long *start) {
  char path[32], text[1024];
  *start = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", process);
  if (!read_text(AT_FDCWD, path, text, sizeof text)) return errno == ENOENT || errno == ESRCH;
  /* The second field is the program's name, which may hold anything; the start is the twenty-second. */
  char *rest = strrchr(text, ')');
  for (int field = 2; field < 22 && rest != NULL; field++) rest = strchr(rest + 1, ' ');
  if (rest != NULL && sscanf(rest, " %llu", start) == 1 && *start != 0) return true;
  errno = EINVAL;
  return false;
}

bool identify(int host_proc, pid_t process, struct identity *identity) {
  char path[64], text[512];
  *identity = (struct identity){.guard = process};
  int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
  if (pidfd < 0) return errno == ESRCH;
  /* A pidfd that was opened here has the id in the host's namespace in its fdinfo, read through the host's /proc. */
  snprintf(path, sizeof path, "self/fdinfo/%d", pidfd);
  bool told = read_text(host_proc, path, text, sizeof text) && find_start(process, &identity->start);
  int cause = errno;
  close(pidfd);
  errno = cause;
  const char *line = told ? strstr(text, "Pid:") : NULL;
  if (line == NULL || sscanf(line, "Pid: %d", &identity->host) != 1) return false;
  if (identity->host < 0) identity->host = 0;
  return true;
}

bool kill_identified(pid_t process, unsigned long long start) {
  if (process <= 1 || start == 0) {
    errno = EINVAL;
    return false;
  }
  /* Held first and looked at then: what is looked at is what is held, or something younger. */
  int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
  if (pidfd < 0) return errno == ESRCH;
  unsigned long long found;
  bool done = find_start(process, &found);
  if (done && found == start) done = syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0 || errno == ESRCH;
  int cause = errno;
  close(pidfd);
  errno = cause;
  return done;
}
