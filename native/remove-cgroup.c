/* Removing the cgroups that a host leaves. Faults are written to stderr and passed over. */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Cgroups of ours are a few levels deep; more is not ours, and a bound keeps the recursion's stack and files bounded. */
enum { DEEPEST = 64 };

static void complain(const char *path) {
  char step[512];
  snprintf(step, sizeof step, "cannot remove %.400s", path);
  complain_of(step);
}

/* Removes the cgroups below `fd`, which must be empty of processes. */
static void remove_inner_cgroups(int fd, int depth) {
  int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *folder = copy < 0 ? NULL : fdopendir(copy);
  if (folder == NULL) {
    if (copy >= 0) close(copy);
    return;
  }
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    if (entry->d_type != DT_DIR || is_dots(entry->d_name)) continue;
    int inner = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0) continue;
    if (depth > 0) remove_inner_cgroups(inner, depth - 1);
    close(inner);
    unlinkat(fd, entry->d_name, AT_REMOVEDIR);
  }
  closedir(folder);
}

void remove_cgroup(const char *path, int patience) {
  /* EBUSY: a process that has just been killed is still on its way out. The kernel offers nothing to wait on here. */
  const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
  for (;; patience -= 5) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
      if (errno != ENOENT) complain(path);
      return;
    }
    remove_inner_cgroups(fd, DEEPEST);
    close(fd);
    if (rmdir(path) == 0 || errno == ENOENT) return;
    if (errno != EBUSY || patience <= 0) return complain(path);
    nanosleep(&pause, NULL);
  }
}
