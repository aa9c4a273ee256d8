/* The OCI runtimes that are at work (starts.c), each of which starts a container or a process in one. */
#ifndef BABELHOST_STARTS_H
#define BABELHOST_STARTS_H

#include "bootstrap.h"

enum { MOST_STARTS = 1024 };

struct start {
  pid_t runtime;
  int pidfd, channel;
  /* In ms of a clock that is never set. */
  long long begun;
  bool killed;
  char *pid_file;
};

extern struct start starts[MOST_STARTS];
extern size_t start_count;

/* Begins a start, or says on its channel why it cannot be begun. The channel is taken over. */
void begin_start(const struct starter *starter, struct request *request);
/* Tells the host how a start has ended, whose runtime has; the last one takes its place. */
void finish_start(const struct starter *starter, size_t index);
/* Whether another start has to wait until one of these has ended. */
bool is_busy(void);

#endif
