/*
 * The OCI runtimes that are at work. Few work at once, and further requests wait. More at once end none of them earlier:
 * they take the processors from each other, and it is the first ones that are there later.
 */
#define _GNU_SOURCE
#include "starts.h"
#include "connections.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
  /* For each processor, because a runtime waits for the kernel, too. */
  STARTS_PER_PROCESSOR = 3,
  /* One that has taken so many ms hangs, or nearly: it keeps no other waiting any longer. */
  PATIENCE = 1000,
};

struct start starts[MOST_STARTS];
size_t start_count = 0;

static long long now_in_ms(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) fail("cannot read the clock");
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* How many runtimes may work at once. */
static size_t bound_of_starts(void) {
  cpu_set_t processors;
  /* More than the set can hold: then they are not what is short. */
  if (sched_getaffinity(0, sizeof processors, &processors) != 0) return MOST_STARTS;
  return STARTS_PER_PROCESSOR * (size_t)CPU_COUNT(&processors);
}

bool is_busy(void) {
  static size_t bound = 0;
  if (bound == 0) bound = bound_of_starts();
  const long long earliest = now_in_ms() - PATIENCE;
  size_t counted = 0;
  for (size_t i = 0; i < start_count; i++) counted += starts[i].begun > earliest;
  return start_count == MOST_STARTS || counted >= bound;
}

void begin_start(const struct starter *starter, struct request *request) {
  struct start *start = &starts[start_count];
  char *pid_file = request->arguments == NULL ? NULL : strdup(request->arguments[0]);
  if (pid_file == NULL) {
    refuse(request->channel, "cannot take the request");
    close(request->channel);
    return;
  }
  pid_t runtime = fork();
  if (runtime == 0) serve_request(starter, request);
  int pidfd = runtime < 0 ? -1 : (int)syscall(SYS_pidfd_open, runtime, 0);
  if (pidfd < 0) {
    int cause = errno;
    if (runtime > 0) kill(runtime, SIGKILL);
    if (runtime > 0) wait_for(runtime);
    free(pid_file);
    errno = cause;
    refuse(request->channel, runtime < 0 ? "cannot fork to start a container" : "cannot watch the runtime");
    close(request->channel);
    return;
  }
  *start = (struct start){.runtime = runtime,
                          .pidfd = pidfd,
                          .channel = request->channel,
                          .begun = now_in_ms(),
                          .pid_file = pid_file};
  start_count++;
}

static void report(const struct starter *starter, const struct start *start, int status) {
  char step[512];
  struct identity process;
  complaints = start->channel;
  if (status == 0) {
    pid_t written = read_pid_file(start->pid_file);
    if (written < 0) snprintf(step, sizeof step, "cannot read %.480s", start->pid_file);
    if (written < 0 || !identify(starter->host_proc, written, &process)) {
      complain_of(written < 0 ? step : "cannot tell the container's process");
      status = EXIT_FAILED;
    } else {
      write_line(start->channel, "process %d %d %llu\n", process.host, process.guard, process.start);
    }
  }
  if (status != 0) write_line(start->channel, "ended %d\n", status);
  complaints = STDERR_FILENO;
}

void finish_start(const struct starter *starter, size_t index) {
  struct start *start = &starts[index];
  report(starter, start, exit_status_of(wait_for(start->runtime)));
  close(start->pidfd);
  close(start->channel);
  free(start->pid_file);
  *start = starts[--start_count];
}
