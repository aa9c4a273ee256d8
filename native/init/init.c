/*
 * The program that babelhost executes in containers, as /dev/init.
 *
 *   init [--data BYTES] [--processes N] -- CMD ARG…   process 1 of the container: this file
 *   init put [-- CMD ARG…], init get MOST PATH        files into and out of it: copy.c
 *
 * Process 1 starts the driver, forwards signals to it, reaps orphans, and ends with the driver: the kernel then kills
 * whatever the driver has left.
 *
 * --data and --processes set RLIMIT_DATA and RLIMIT_NPROC for the driver. The runtime cannot: runc's own process in the
 * container is a Go program, with threads and a heap, and would be short of them itself.
 *
 * Descriptor 3 is the container's channel. Written to it: "started" once the driver has been executed; then "exited N" or
 * "signaled N"; or, if it could not be executed, "failed ERRNAME". Read from it: "signal N", sent on to the driver's
 * process group. At its end this process kills the driver and exits: the host is gone, or wants the container gone.
 */
#define _GNU_SOURCE
#include "../program.h"
#include "copy.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

const char program_name[] = "init";

enum { CHANNEL = 3 };

/* Signals that somebody outside may send to process 1 and mean for the driver. */
static const int forwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH};

static int receive_signals(sigset_t *before) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++) sigaddset(&mask, forwarded[i]);
  if (sigprocmask(SIG_BLOCK, &mask, before) != 0) fail("cannot block signals");
  int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) fail("cannot receive signals");
  return fd;
}

/* Limits for the driver; RLIM_INFINITY where there is none. */
struct limits {
  rlim_t data, processes;
};

static void limit(__rlimit_resource_t resource, rlim_t value) {
  struct rlimit bound;
  if (value == RLIM_INFINITY) return;
  if (getrlimit(resource, &bound) != 0) fail("cannot read a resource limit");
  if (bound.rlim_max > value) bound.rlim_max = value;
  bound.rlim_cur = bound.rlim_max;
  if (setrlimit(resource, &bound) != 0) fail("cannot set a resource limit");
}

/*
 * Starts the driver in a session of its own. Exits if it cannot be executed. With vfork(2) no memory is copied, and the
 * child, which has ours until it executes the driver, leaves the reason there.
 */
static pid_t start_driver(char **command, const struct limits *limits, const sigset_t *mask) {
  volatile int cause = 0;
  pid_t driver = vfork();
  if (driver < 0) fail("cannot fork to start the driver");
  if (driver == 0) {
    if (setsid() < 0 || sigprocmask(SIG_SETMASK, mask, NULL) != 0) fail("cannot prepare the driver");
    if (signal(SIGPIPE, SIG_DFL) == SIG_ERR) fail("cannot reset SIGPIPE");
    limit(RLIMIT_DATA, limits->data);
    limit(RLIMIT_NPROC, limits->processes);
    execvp(command[0], command);
    cause = errno;
    _exit(EXIT_NOT_EXECUTED);
  }
  if (cause == 0) return driver;
  const char *name = strerrorname_np(cause);
  write_line(CHANNEL, "failed %s\n", name == NULL ? "UNKNOWN" : name);
  _exit(EXIT_NOT_EXECUTED);
}

static void signal_driver(pid_t driver, int number) {
  /* The group first; a driver that has not got so far as setsid is signalled alone. */
  if (kill(-driver, number) != 0) kill(driver, number);
}

/* Reaps what has ended; exits with the driver's status if it has. */
static void reap(pid_t driver) {
  int status;
  pid_t child;
  while ((child = waitpid(-1, &status, WNOHANG)) > 0) {
    if (child != driver) continue;
    /* Not checked: a host that does not listen any more is gone. */
    write_line(CHANNEL, WIFEXITED(status) ? "exited %d\n" : "signaled %d\n",
               WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    _exit(exit_status_of(status));
  }
  /* The driver's end would go unseen. */
  if (child < 0 && errno != ECHILD && errno != EINTR) _exit(EXIT_FAILED);
}

static void take_signals(int fd, pid_t driver) {
  struct signalfd_siginfo info;
  while (read(fd, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGCHLD) signal_driver(driver, (int)info.ssi_signo);
  }
  reap(driver);
}

/* Takes the host's lines from the channel; at its end, kills the driver and exits. */
static void take_requests(pid_t driver) {
  static char line[64];
  static size_t length = 0;
  ssize_t added = read(CHANNEL, line + length, sizeof line - 1 - length);
  if (added < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (added <= 0) {
    /* Needed where this is not process 1, whose end ends all: a process that joined a container. */
    signal_driver(driver, SIGKILL);
    _exit(EXIT_SIGNALED + SIGKILL);
  }
  length += (size_t)added;
  line[length] = '\0';
  for (char *end; (end = memchr(line, '\n', length)) != NULL;) {
    int number;
    *end = '\0';
    if (sscanf(line, "signal %d", &number) == 1 && number > 0 && number < NSIG) signal_driver(driver, number);
    length -= (size_t)(end + 1 - line);
    memmove(line, end + 1, length);
  }
  if (length == sizeof line - 1) length = 0; /* no line of the host's is so long */
}

_Noreturn static void be_init(char **arguments) {
  struct limits limits = {RLIM_INFINITY, RLIM_INFINITY};
  for (; arguments[0] != NULL && strcmp(arguments[0], "--") != 0; arguments++) {
    const char *option = arguments[0];
    rlim_t *target = strcmp(option, "--data") == 0        ? &limits.data
                     : strcmp(option, "--processes") == 0 ? &limits.processes
                                                          : NULL;
    if (target == NULL) fail_usage("init does not know the option %s", option);
    *target = (rlim_t)parse_number(option_value(&arguments), 1, LONG_MAX, option);
  }
  if (arguments[0] == NULL || arguments[1] == NULL) fail_usage("init needs -- and the command");
  /* The driver has our id and must not trace us: the file's mode (stage.c) prevents that unless fs.suid_dumpable is 1. */
  if (prctl(PR_SET_DUMPABLE, 0) != 0) fail("cannot become undumpable");
  if (fcntl(CHANNEL, F_SETFD, FD_CLOEXEC) != 0) fail("the container's channel is not there");
  if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) fail("cannot ignore SIGPIPE");
  sigset_t before;
  int signals = receive_signals(&before);
  pid_t driver = start_driver(arguments + 1, &limits, &before);
  /* The pipes are the driver's: when it closes them the host must see their end. */
  close(STDIN_FILENO);
  close(STDOUT_FILENO);
  close(STDERR_FILENO);
  write_line(CHANNEL, "started\n");
  struct pollfd polled[2] = {{.fd = CHANNEL, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
  for (;;) {
    if (TEMP_FAILURE_RETRY(poll(polled, 2, -1)) < 0) _exit(EXIT_FAILED);
    if (polled[1].revents != 0) take_signals(signals, driver);
    if (polled[0].revents != 0) take_requests(driver);
  }
}

int main(int count, char **arguments) {
  if (count >= 2 && strcmp(arguments[1], "put") == 0) return put_main(arguments + 2);
  if (count >= 2 && strcmp(arguments[1], "get") == 0) return get_main(arguments + 2);
  if (count >= 1) arguments++;
  be_init(arguments);
}
