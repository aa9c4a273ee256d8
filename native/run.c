/*
 * bootstrap run: executes a program in the namespaces of a host's guard, such as an OCI runtime that is to remove a
 * half-made container. Containers themselves are started by the guard (start.c).
 *
 *   run [--user-namespace] [--set-groups] -- PROGRAM ARG…
 *
 * File descriptors: 3 is the guard's folder in /proc (a descriptor, because a process id may be reused); 4 is the
 * lifeline, whose other end the host has. The program gets 0, 1 and 2. When the host closes its end of the lifeline, or
 * dies, the program is killed and this process ends. Exit status: the program's.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

enum { GUARD = 3, LIFELINE = 4 };

struct options {
  bool user_namespace, set_groups;
  char **program;
};

static struct options parse_options(char **arguments) {
  struct options options = {0};
  for (; *arguments != NULL && strcmp(*arguments, "--") != 0; arguments++) {
    if (strcmp(*arguments, "--user-namespace") == 0) {
      options.user_namespace = true;
    } else if (strcmp(*arguments, "--set-groups") == 0) {
      options.set_groups = true;
    } else {
      fail_usage("run does not know the option %s", *arguments);
    }
  }
  if (arguments[0] == NULL) fail_usage("run needs -- and a command line");
  if (arguments[1] == NULL) fail_usage("run needs a command line after --");
  options.program = arguments + 1;
  return options;
}

static void enter(const char *namespace, int kind) {
  char name[16];
  snprintf(name, sizeof name, "ns/%s", namespace);
  cleanup_fd int fd = openat(GUARD, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("cannot open the guard's %s namespace", namespace);
  if (setns(fd, kind) != 0) fail("cannot enter the guard's %s namespace", namespace);
}

/*
 * Waits for the program's end, and kills it if the lifeline ends first. Not left to PR_SET_PDEATHSIG alone: were this
 * process to die first, its dead child would wait for some process 1 to reap it, and the guard's namespace cannot end
 * before that; in a container, process 1 often reaps late or never.
 */
static int wait_for_program(pid_t program) {
  cleanup_fd int pidfd = open_pidfd(program);
  struct pollfd polled[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = LIFELINE, .events = POLLRDHUP}};
  if (TEMP_FAILURE_RETRY(poll(polled, 2, -1)) < 0) fail("cannot wait for the program");
  if (polled[0].revents == 0) kill(program, SIGKILL);
  return exit_status_of(wait_for(program));
}

int run_main(char **arguments) {
  struct options options = parse_options(arguments);
  if (options.user_namespace) enter("user", CLONE_NEWUSER);
  enter("mnt", CLONE_NEWNS);
  enter("pid", CLONE_NEWPID);
  if (options.user_namespace) become_root_inside(options.set_groups);

  int pipe[2];
  if (pipe2(pipe, O_CLOEXEC) != 0) fail("cannot make a pipe");
  pid_t program = fork_or_fail("execute the program");
  if (program == 0) {
    close(pipe[1]);
    die_with_parent(pipe[0]);
    close_from(STDERR_FILENO + 1);
    execvp(options.program[0], options.program);
    fail("cannot execute %s", options.program[0]);
  }
  return wait_for_program(program);
}
