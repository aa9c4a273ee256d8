/*
 * babelhost's native bootstrap: what a Node process cannot do by itself. A Node process is multi-threaded, so it can
 * neither enter namespaces nor lock with flock(2). Each face is a file of its own:
 *
 *   bootstrap lock    holds an advisory lock for as long as its stdin is open            lock.c
 *
 * Every system call is checked; whatever cannot be done ends the process with a sentence on stderr.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

_Noreturn void fail(const char *format, ...) {
  int cause = errno;
  const char *name = strerrorname_np(cause);
  va_list values;
  va_start(values, format);
  fputs("bootstrap: ", stderr);
  vfprintf(stderr, format, values);
  va_end(values);
  fprintf(stderr, " (%s): %s\n", name == NULL ? "?" : name, strerror(cause));
  _exit(EXIT_FAILED);
}

_Noreturn void fail_usage(const char *format, ...) {
  va_list values;
  va_start(values, format);
  fputs("bootstrap: ", stderr);
  vfprintf(stderr, format, values);
  va_end(values);
  fputs("\n", stderr);
  _exit(EXIT_USAGE);
}

void die_with_parent(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail("cannot tie this process to its parent");
  /* A parent that died before the prctl sends nothing: its child has another parent by now. */
  if (getppid() != parent) _exit(EXIT_FAILED);
}

int wait_for(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) fail("cannot wait for process %d", child);
  }
  return status;
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

int main(int count, char **arguments) {
  if (count >= 2) {
    if (strcmp(arguments[1], "lock") == 0) return lock_main(arguments + 2);
  }
  fail_usage("usage: bootstrap lock [--shared] [--try] PATH");
}
