/*
 * Removes the socket of a host that died: a host removes it by itself only where it ends in order. The host notes it in
 * its folder (src/container/guard/socket-cleanup.ts) as a symbolic link, which is made in one call and never half written:
 *
 *   listened -> DEVICE:INODE:NANOSECONDS:/absolute/path
 *
 * The numbers are the socket's own, the last being the time of its making (mtime, which nothing changes later on a
 * socket): the next host may have a socket in its place by now, and a file system may have given it the same inode.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* Reads a decimal number and the colon after it, and steps `text` over both. */
static bool take_number(char **text, unsigned long long *number) {
  if (**text < '0' || **text > '9') return false;
  errno = 0;
  *number = strtoull(*text, text, 10);
  return errno == 0 && *(*text)++ == ':';
}

void remove_dead_socket(int folder) {
  char note[PATH_MAX];
  ssize_t length = readlinkat(folder, "listened", note, sizeof note - 1);
  if (length < 0) {
    if (errno != ENOENT) complain(STDERR_FILENO, errno, "cannot read which socket the host listened at");
    return;
  }
  note[length] = '\0';
  char *path = note;
  unsigned long long device, inode, made;
  bool whole = take_number(&path, &device) && take_number(&path, &inode) && take_number(&path, &made);
  char *slash = whole && path[0] == '/' ? strrchr(path, '/') : NULL;
  if (slash == NULL || slash[1] == '\0') {
    return complain(STDERR_FILENO, EINVAL, "cannot tell which socket the host listened at");
  }
  const char *name = slash + 1;
  *slash = '\0';
  cleanup_fd int parent = open(slash == path ? "/" : path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct stat found;
  if (parent < 0 || fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) complain(STDERR_FILENO, errno, "cannot look at the socket that the host listened at");
    return;
  }
  const unsigned long long found_made =
      (unsigned long long)found.st_mtim.tv_sec * 1000000000ULL + (unsigned long long)found.st_mtim.tv_nsec;
  if (!S_ISSOCK(found.st_mode) || found.st_dev != device || found.st_ino != inode || found_made != made) return;
  if (unlinkat(parent, name, 0) != 0 && errno != ENOENT) {
    complain(STDERR_FILENO, errno, "cannot remove the socket that the host listened at");
  }
}
