/* Removing the cgroups that a host leaves. Faults are written to stderr and passed over. */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <time.h>

/* Cgroups of ours are a few levels deep; a bound keeps the recursion's stack and files bounded. */
enum { DEEPEST = 64 };

/* Removes the cgroups below `fd`. What cannot be removed here keeps the cgroup around it, which is told then. */
static void remove_inner_cgroups(int fd, int depth) {
  cleanup_dir DIR *folder = open_entries(fd);
  if (folder == NULL) return;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    if (entry->d_type != DT_DIR || is_dots(entry->d_name)) continue;
    cleanup_fd int inner = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0) continue;
    if (depth > 0) remove_inner_cgroups(inner, depth - 1);
    (void)unlinkat(fd, entry->d_name, AT_REMOVEDIR);
  }
}

void remove_cgroup(const char *path, int patience) {
  /* EBUSY: a process that has just been killed is still on its way out. The kernel offers nothing to wait on here. */
  const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
  for (;; patience -= 5) {
    cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return;
    if (fd < 0) break;
    remove_inner_cgroups(fd, DEEPEST);
    if (rmdir(path) == 0 || errno == ENOENT) return;
    if (errno != EBUSY || patience <= 0) break;
    nanosleep(&pause, NULL);
  }
  complain(STDERR_FILENO, errno, "cannot remove %.400s", path);
}
