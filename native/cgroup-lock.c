/*
 * The kernel's lock for moving processes between cgroups, had before it is wanted. Who takes it after a rest waits until
 * every processor has passed a quiet state (percpu_rw_semaphore, an RCU grace period): 5 to 10 ms, in which nothing is
 * computed. For about as long afterwards it is to be had at once. A runtime moves a container's process in the middle of
 * its work. So a process of the starter's takes the lock when a request comes, and the wait passes while the runtime
 * starts.
 *
 * It takes the lock by moving itself to the cgroup that it is in, so that nothing changes. Where the kernel refuses, the
 * runtime waits by itself, as it would without us.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int requests = -1;

/* Takes the lock once now, and once for all requests that have come meanwhile, until the starter ends. */
_Noreturn static void take_on_request(void) {
  char discarded[64];
  for (;;) {
    if (write(STDOUT_FILENO, "0", 1) < 0 && errno == EINTR) continue;
    ssize_t length = read(STDIN_FILENO, discarded, sizeof discarded);
    if (length == 0) _exit(0);
    if (length < 0 && errno != EINTR) fail("cannot wait for requests to take the cgroups' lock");
  }
}

int open_own_cgroup(const char *path) {
  int folder = path == NULL ? -1 : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -1;
  int processes = openat(folder, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  close(folder);
  return processes;
}

void keep_cgroup_lock_near(int processes) {
  int ends[2];
  if (processes < 0) return;
  if (pipe2(ends, O_CLOEXEC) != 0) fail("cannot make a pipe");
  if (fork_or_fail("take the cgroups' lock") == 0) {
    if (dup3(ends[0], STDIN_FILENO, 0) < 0) fail("cannot take a pipe as stdin");
    if (dup3(processes, STDOUT_FILENO, 0) < 0) fail("cannot take a cgroup's list as stdout");
    close_from(STDERR_FILENO + 1);
    die_with_parent(STDIN_FILENO);
    take_on_request();
  }
  close(ends[0]);
  close(processes);
  /* Full of requests that have not been seen yet, it needs no more of them: they are served together. */
  if (fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0) fail("cannot make a pipe non-blocking");
  requests = ends[1];
}

void want_cgroup_lock(void) {
  /* Without a reader or room there is nothing to be done: see above. */
  while (requests >= 0 && write(requests, "", 1) < 0 && errno == EINTR) continue;
}
