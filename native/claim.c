/*
 * The folders of the hosts on this machine, side by side in one directory. A host's guard claims its folder with
 * flock(2) for as long as it lives. A lock tells across pid namespaces, reuse of process ids and restarts of the machine
 * that the owner is gone, where a recorded process id would not.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* In a host's folder: the paths of its cgroups, a line each. */
static const char CGROUPS[] = "cgroups";

static int open_folder(int directory, const char *name) {
  return openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Whether `name` still names the folder that `fd` has open: another guard may have removed it before we had the lock. */
static bool is_still(int directory, const char *name, int fd) {
  struct stat opened, named;
  if (fstat(fd, &opened) != 0 || fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) != 0) return false;
  return opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

int claim_folder(int directory, const char *name, char *const *cgroups, size_t cgroup_count) {
  cleanup_fd int folder = -1;
  for (;;) {
    if (mkdirat(directory, name, 0700) != 0 && errno != EEXIST) fail("cannot make the folder %s", name);
    folder = open_folder(directory, name);
    if (folder < 0 && errno == ENOENT) continue;
    if (folder < 0) fail("cannot open the folder %s", name);
    if (TEMP_FAILURE_RETRY(flock(folder, LOCK_EX)) != 0) fail("cannot lock the folder %s", name);
    if (is_still(directory, name, folder)) break;
    close(folder);
  }
  int list = openat(folder, CGROUPS, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  bool written = list >= 0;
  for (size_t i = 0; written && i < cgroup_count; i++) {
    written = write_all(list, cgroups[i], strlen(cgroups[i])) && write_all(list, "\n", 1);
  }
  if (!written || close(list) != 0) fail("cannot write %s/%s", name, CGROUPS);
  return steal_fd(&folder);
}

static void remove_listed_cgroups(int folder) {
  cleanup_fd int fd = openat(folder, CGROUPS, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  cleanup_file FILE *list = fd < 0 ? NULL : fdopen(fd, "r");
  cleanup_free char *line = NULL;
  size_t size = 0;
  if (list == NULL) return;
  steal_fd(&fd);
  for (ssize_t length; (length = getline(&line, &size, list)) > 0;) {
    if (line[length - 1] == '\n') line[length - 1] = '\0';
    if (line[0] == '/') remove_cgroup(line, 0);
  }
}

void sweep_folders(int directory) {
  cleanup_dir DIR *folders = open_entries(directory);
  if (folders == NULL) return;
  for (struct dirent *entry; (entry = readdir(folders)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    cleanup_fd int folder = open_folder(directory, entry->d_name);
    if (folder < 0 || flock(folder, LOCK_EX | LOCK_NB) != 0 || !is_still(directory, entry->d_name, folder)) continue;
    remove_listed_cgroups(folder);
    remove_folder(directory, entry->d_name);
  }
}
