/* The OCI runtimes that are at work (runtime-jobs.c), each of which starts a container or a process in one. */
#ifndef BABELHOST_RUNTIME_JOBS_H
#define BABELHOST_RUNTIME_JOBS_H

#include "bootstrap.h"

enum { MOST_JOBS = 1024 };

struct job {
  pid_t runtime;
  int pidfd, channel;
  /* In ms of a clock that is never set. */
  long long begun;
  bool killed;
  char *pid_file;
};

extern struct job jobs[MOST_JOBS];
extern size_t job_count;

/* Begins a start, or says on its channel why it cannot be begun. The channel is taken over. */
void begin_job(const struct starter *starter, struct request *request);
/* Reports how a start has ended, whose runtime has ended; the last job takes its place. */
void finish_job(const struct starter *starter, size_t index);
/* Whether another start has to wait until one of these has ended. */
bool jobs_are_full(void);

#endif
