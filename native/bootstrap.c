/*
 * babelhost's native bootstrap: what a Node process cannot do by itself. A Node process is multi-threaded, so it can
 * neither enter namespaces nor be process 1 of one, and it has no flock(2). Its commands:
 *
 *   bootstrap guard   the namespaces that a host's containers are started in, and their end: guard.c, stage.c, ids.c,
 *                     claim.c, socket-cleanup.c, remove-cgroup.c; starts the containers, through an OCI runtime: start.c,
 *                     connections.c, runtime-jobs.c, runtime-copy.c, request.c, process.c, rootfs.c
 *   bootstrap run     a program in those namespaces: run.c
 *   bootstrap lock    an advisory lock that lasts as long as stdin is open: lock.c
 *   bootstrap remove  a folder with whatever is in it: remove.c
 *   bootstrap measure what a folder holds: measure.c
 *   bootstrap hangup  the end of a pipe's readers: hangup.c
 *
 * What is executed in containers is a program of its own: init/.
 *
 * Every system call is checked; whatever cannot be done ends the process with a sentence on stderr.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

const char program_name[] = "bootstrap";

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
  if (TEMP_FAILURE_RETRY(waitpid(child, &status, 0)) < 0) fail("cannot wait for process %d", child);
  return status;
}

int open_pidfd(pid_t process) {
  int fd = (int)syscall(SYS_pidfd_open, process, 0);
  if (fd < 0) fail("cannot watch process %d", process);
  return fd;
}

void close_from(unsigned first) {
  if (syscall(SYS_close_range, first, ~0U, 0) != 0) fail("cannot close inherited file descriptors");
}

int main(int count, char **arguments) {
  static const struct {
    const char *name;
    int (*face)(char **);
  } faces[] = {{"guard", guard_main}, {"run", run_main}, {"lock", lock_main},
               {"remove", remove_main}, {"measure", measure_main}, {"hangup", hangup_main}};
  /* For lists of processes: the path that we were executed by may be /proc/PID/fd/N. */
  if (prctl(PR_SET_NAME, "bootstrap") != 0) fail("cannot name this process");
  for (size_t i = 0; count >= 2 && i < sizeof faces / sizeof *faces; i++) {
    if (strcmp(arguments[1], faces[i].name) == 0) return faces[i].face(arguments + 2);
  }
  fail_usage("usage: bootstrap guard|run|lock|remove|measure|hangup …");
}
