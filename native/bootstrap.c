/*
 * babelhost's native bootstrap: what a Node process cannot do by itself. A Node process is multi-threaded, so it can
 * neither enter namespaces nor be process 1 of one, and it has no flock(2). Its faces:
 *
 *   bootstrap guard   the namespaces that a host's containers are started in, and their end: guard.c, stage.c, ids.c,
 *                     claim.c, socket-cleanup.c, remove-cgroup.c; starts the containers, through an OCI runtime: start.c,
 *                     connections.c, runtime-jobs.c, request.c, process.c, rootfs.c
 *   bootstrap run     a program in those namespaces: run.c
 *   bootstrap init    process 1 of a container: init.c
 *   bootstrap lock    an advisory lock that lasts as long as stdin is open: lock.c
 *   bootstrap put     files into a container, executed in it: copy.c
 *   bootstrap get     a file out of a container, executed in it: copy.c
 *   bootstrap remove  a folder with whatever is in it: remove.c
 *   bootstrap measure what a folder holds: measure.c
 *
 * Every system call is checked; whatever cannot be done ends the process with a sentence on stderr.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int complaints = STDERR_FILENO;

_Noreturn static void end(int status, const char *format, va_list values, const char *cause) {
  char line[1024];
  int length = vsnprintf(line, sizeof line, format, values);
  if (length < 0) line[0] = '\0';
  /* One write, unbuffered: lines of several processes that share a stderr must not mix. */
  dprintf(complaints, "bootstrap: %s%s\n", line, cause);
  _exit(status);
}

static void describe(int error, char *cause, size_t size) {
  const char *name = strerrorname_np(error);
  snprintf(cause, size, " (%s): %s", name == NULL ? "?" : name, strerror(error));
}

void complain_of(const char *step) {
  char cause[128];
  describe(errno, cause, sizeof cause);
  dprintf(complaints, "bootstrap: %s%s\n", step, cause);
}

_Noreturn void fail(const char *format, ...) {
  char cause[128];
  describe(errno, cause, sizeof cause);
  va_list values;
  va_start(values, format);
  end(EXIT_FAILED, format, values, cause);
}

_Noreturn void fail_plainly(const char *format, ...) {
  va_list values;
  va_start(values, format);
  end(EXIT_FAILED, format, values, "");
}

_Noreturn void fail_usage(const char *format, ...) {
  va_list values;
  va_start(values, format);
  end(EXIT_USAGE, format, values, "");
}

void die_with_parent(int lifeline) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail("cannot tie this process to its parent");
  struct pollfd polled = {.fd = lifeline, .events = 0};
  if (poll(&polled, 1, 0) < 0) fail("cannot see whether the parent lives");
  if (polled.revents != 0) _exit(EXIT_FAILED);
}

pid_t fork_or_fail(const char *purpose) {
  pid_t child = fork();
  if (child < 0) fail("cannot fork to %s", purpose);
  return child;
}

int wait_for(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) fail("cannot wait for process %d", child);
  }
  return status;
}

int exit_status_of(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : EXIT_SIGNALED + WTERMSIG(wait_status);
}

int open_pidfd(pid_t process) {
  int fd = (int)syscall(SYS_pidfd_open, process, 0);
  if (fd < 0) fail("cannot watch process %d", process);
  return fd;
}

bool write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, bytes, length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes += written;
    length -= (size_t)written;
  }
  return true;
}

bool write_line(int fd, const char *format, ...) {
  char line[512];
  va_list values;
  va_start(values, format);
  int length = vsnprintf(line, sizeof line, format, values);
  va_end(values);
  if (length < 0) return false;
  size_t size = (size_t)length;
  if (size >= sizeof line) {
    size = sizeof line - 1;
    line[size - 1] = '\n';
  }
  return write_all(fd, line, size);
}

long parse_number(const char *text, long least, long most, const char *what) {
  char *rest;
  errno = 0;
  long number = strtol(text, &rest, 10);
  if (errno != 0 || rest == text || *rest != '\0' || number < least || number > most) {
    fail_usage("%s is a number from %ld to %ld, not '%s'", what, least, most, text);
  }
  return number;
}

const char *option_value(char ***arguments) {
  const char *option = **arguments;
  (*arguments)++;
  if (**arguments == NULL) fail_usage("%s needs a value", option);
  return **arguments;
}

void close_from(unsigned first) {
  if (syscall(SYS_close_range, first, ~0U, 0) != 0) fail("cannot close inherited file descriptors");
}

int main(int count, char **arguments) {
  static const struct {
    const char *name;
    int (*face)(char **);
  } faces[] = {{"guard", guard_main}, {"run", run_main}, {"init", init_main},
               {"lock", lock_main},   {"put", put_main}, {"get", get_main},
               {"remove", remove_main}, {"measure", measure_main}};
  /* As a list of processes shows it: the path that we were executed by may be /proc/PID/fd/N. */
  if (prctl(PR_SET_NAME, "bootstrap") != 0) fail("cannot name this process");
  for (size_t i = 0; count >= 2 && i < sizeof faces / sizeof *faces; i++) {
    if (strcmp(arguments[1], faces[i].name) == 0) return faces[i].face(arguments + 2);
  }
  fail_usage("usage: bootstrap guard|run|init|lock|put|get|remove|measure …");
}
