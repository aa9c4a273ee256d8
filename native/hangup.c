/*
 * bootstrap hangup: ends with status 0 once nobody can read any more what is written to its stdout, a pipe, without writing
 * anything: poll(2) tells that, which Node has no call for. It ends with its parent too, which holds the other end of stdin.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

int hangup_main(char **arguments) {
  if (*arguments != NULL) fail_usage("usage: bootstrap hangup");
  die_with_parent(STDIN_FILENO);
  /* Without events that are asked for, poll(2) still tells POLLERR: the last reader has gone. */
  struct pollfd output = {.fd = STDOUT_FILENO};
  while (poll(&output, 1, -1) < 0) {
    if (errno != EINTR) fail("cannot wait for the end of stdout's readers");
  }
  if (output.revents & POLLNVAL) fail_plainly("stdout is closed");
  return 0;
}
