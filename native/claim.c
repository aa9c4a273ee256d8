/*
 * The folders of the hosts on this machine, side by side in one directory. Each is locked (flock) by its host's guard
 * for as long as that lives, so whoever gets the lock knows that host and guard are gone: true across pid namespaces,
 * reuse of process ids, and restarts of the machine, where a recorded process id would not be.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* In a host's folder: the paths of its cgroups, a line each. */
static const char CGROUPS[] = "cgroups";

static int open_folder(int directory, const char *name) {
  return openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Whether `name` still names the folder that `fd` has open: a sweeper may have removed it before we had the lock. */
static bool is_still(int directory, const char *name, int fd) {
  struct stat opened, named;
  if (fstat(fd, &opened) != 0) return false;
  if (fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) != 0) return false;
  return opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

int claim_folder(int directory, const char *name, char *const *cgroups, size_t cgroup_count) {
  int folder;
  for (;;) {
    if (mkdirat(directory, name, 0700) != 0 && errno != EEXIST) fail("cannot make the folder %s", name);
    folder = open_folder(directory, name);
    if (folder < 0 && errno == ENOENT) continue;
    if (folder < 0) fail("cannot open the folder %s", name);
    while (flock(folder, LOCK_EX) != 0) {
      if (errno != EINTR) fail("cannot lock the folder %s", name);
    }
    if (is_still(directory, name, folder)) break;
    close(folder);
  }
  int list = openat(folder, CGROUPS, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (list < 0) fail("cannot write %s/%s", name, CGROUPS);
  for (size_t i = 0; i < cgroup_count; i++) {
    if (!write_all(list, cgroups[i], strlen(cgroups[i])) || !write_all(list, "\n", 1)) {
      fail("cannot write %s/%s", name, CGROUPS);
    }
  }
  if (close(list) != 0) fail("cannot write %s/%s", name, CGROUPS);
  return folder;
}

static void remove_noted_cgroups(int folder) {
  int fd = openat(folder, CGROUPS, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  FILE *list = fd < 0 ? NULL : fdopen(fd, "r");
  if (list == NULL) {
    if (fd >= 0) close(fd);
    return;
  }
  char *line = NULL;
  size_t size = 0;
  for (ssize_t length; (length = getline(&line, &size, list)) > 0;) {
    if (line[length - 1] == '\n') line[length - 1] = '\0';
    if (line[0] == '/') remove_cgroup(line, 0);
  }
  free(line);
  fclose(list);
}

void sweep_folders(int directory) {
  int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *folders = copy < 0 ? NULL : fdopendir(copy);
  if (folders == NULL) {
    if (copy >= 0) close(copy);
    return;
  }
  for (struct dirent *entry; (entry = readdir(folders)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    int folder = open_folder(directory, entry->d_name);
    if (folder < 0) continue;
    if (flock(folder, LOCK_EX | LOCK_NB) == 0 && is_still(directory, entry->d_name, folder)) {
      remove_noted_cgroups(folder);
      remove_folder(directory, entry->d_name);
    }
    close(folder);
  }
  closedir(folders);
}
