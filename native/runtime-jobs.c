/*
 * The OCI runtimes that are at work. Few work at once, and further requests wait: more at once share the processors, so
 * that the first ones end later and none ends earlier.
 */
#define _GNU_SOURCE
#include "runtime-jobs.h"
#include "connections.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

enum {
  /* For each processor, because a runtime waits for the kernel, too. */
  JOBS_PER_PROCESSOR = 3,
  /* A job that has taken so many ms may hang, and is not counted any more. */
  LATE_MS = 1000,
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
  /* Where the set cannot hold them all, processors are not what is short. */
  if (sched_getaffinity(0, sizeof processors, &processors) != 0) return MOST_JOBS;
  return JOBS_PER_PROCESSOR * (size_t)CPU_COUNT(&processors);
}

bool jobs_are_full(void) {
  static size_t bound = 0;
  if (bound == 0) bound = most_jobs_at_once();
  const long long earliest = now_in_ms() - LATE_MS;
  size_t counted = 0;
  for (size_t i = 0; i < job_count; i++) counted += jobs[i].begun > earliest;
  return job_count == MOST_JOBS || counted >= bound;
}

void begin_job(const struct starter *starter, struct request *request) {
  cleanup_fd int channel = request->channel;
  cleanup_free char *pid_file = request->arguments == NULL ? NULL : strdup(request->arguments[0]);
  if (pid_file == NULL) return refuse(channel, errno, "cannot take the request");
  pid_t runtime = fork();
  if (runtime == 0) serve_request(starter, request);
  if (runtime < 0) return refuse(channel, errno, "cannot fork to start a container");
  int pidfd = (int)syscall(SYS_pidfd_open, runtime, 0);
  if (pidfd < 0) {
    const int error = errno;
    kill(runtime, SIGKILL);
    wait_for(runtime);
    return refuse(channel, error, "cannot watch the runtime");
  }
  jobs[job_count++] = (struct job){
      .runtime = runtime, .pidfd = pidfd, .channel = steal_fd(&channel), .begun = now_in_ms(), .pid_file = pid_file};
  pid_file = NULL;
}

/* Reports which process the runtime has started. False, with a complaint on the channel, if that cannot be found out. */
static bool report_process(const struct starter *starter, const struct job *job) {
  struct identity process;
  pid_t written = read_pid_file(job->pid_file);
  if (written < 0) {
    complain(job->channel, errno, "cannot read %s", job->pid_file);
    return false;
  }
  if (!identify(starter->host_proc, written, &process)) {
    complain(job->channel, errno, "cannot tell the container's process");
    return false;
  }
  write_line(job->channel, "process %d %d %llu\n", process.host, process.guard, process.start);
  return true;
}

void finish_job(const struct starter *starter, size_t index) {
  struct job *job = &jobs[index];
  int status = exit_status_of(wait_for(job->runtime));
  if (status == 0 && !report_process(starter, job)) status = EXIT_FAILED;
  if (status != 0) write_line(job->channel, "ended %d\n", status);
  close(job->pidfd);
  close(job->channel);
  free(job->pid_file);
  *job = jobs[--job_count];
}
