/*
 * The OCI runtimes that are at work. Few work at once, and further requests wait. More at once end none of them earlier:
 * they take the processors from each other, and it is the first ones that are there later.
 */
#define _GNU_SOURCE
#include "runtime-jobs.h"
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
  JOBS_PER_PROCESSOR = 3,
  /* One that has taken so many ms hangs, or nearly: it keeps no other waiting any longer. */
  PATIENCE = 1000,
};

struct job jobs[MOST_JOBS];
size_t job_count = 0;

static long long now_in_ms(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) fail("cannot read the clock");
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* How many runtimes may work at once. */
static size_t most_jobs_at_once(void) {
  cpu_set_t processors;
  /* More than the set can hold: then they are not what is short. */
  if (sched_getaffinity(0, sizeof processors, &processors) != 0) return MOST_JOBS;
  return JOBS_PER_PROCESSOR * (size_t)CPU_COUNT(&processors);
}

bool jobs_are_full(void) {
  static size_t bound = 0;
  if (bound == 0) bound = most_jobs_at_once();
  const long long earliest = now_in_ms() - PATIENCE;
  size_t counted = 0;
  for (size_t i = 0; i < job_count; i++) counted += jobs[i].begun > earliest;
  return job_count == MOST_JOBS || counted >= bound;
}

void begin_job(const struct starter *starter, struct request *request) {
  struct job *job = &jobs[job_count];
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
  *job = (struct job){
      .runtime = runtime, .pidfd = pidfd, .channel = request->channel, .begun = now_in_ms(), .pid_file = pid_file};
  job_count++;
}

static void report(const struct starter *starter, const struct job *job, int status) {
  char step[512];
  struct identity process;
  complaints = job->channel;
  if (status == 0) {
    pid_t written = read_pid_file(job->pid_file);
    if (written < 0) snprintf(step, sizeof step, "cannot read %.480s", job->pid_file);
    if (written < 0 || !identify(starter->host_proc, written, &process)) {
      complain_of(written < 0 ? step : "cannot tell the container's process");
      status = EXIT_FAILED;
    } else {
      write_line(job->channel, "process %d %d %llu\n", process.host, process.guard, process.start);
    }
  }
  if (status != 0) write_line(job->channel, "ended %d\n", status);
  complaints = STDERR_FILENO;
}

void finish_job(const struct starter *starter, size_t index) {
  struct job *job = &jobs[index];
  report(starter, job, exit_status_of(wait_for(job->runtime)));
  close(job->pidfd);
  close(job->channel);
  free(job->pid_file);
  *job = jobs[--job_count];
}
