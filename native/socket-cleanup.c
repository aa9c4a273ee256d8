/*
 * The socket that a host listens at, which the host itself removes only where it ends in order. The host notes it in its
 * folder (src/container/guard/socket-cleanup.ts) as a symbolic link, which is made in one call and is never seen half written:
 *
 *   listened -> DEVICE:INODE:NANOSECONDS:/absolute/path
 *
 * The numbers are the socket's own, the time being that of its making (mtime, which nothing changes later on a socket):
 * the next host may have taken the place of it by now, and a file system may have given the inode's number to another.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char NOTE[] = "listened";

/* Reads a decimal number and the colon after it, and steps `text` over both. */
static bool take_number(char **text, unsigned long long *number) {
  if (**text < '0' || **text > '9') return false;
  errno = 0;
  *number = strtoull(*text, text, 10);
  return errno == 0 && *(*text)++ == ':';
}

void remove_dead_socket(int folder) {
  char note[PATH_MAX];
  ssize_t length = readlinkat(folder, NOTE, note, sizeof note - 1);
  if (length < 0) {
    if (errno != ENOENT) complain_of("cannot read which socket the host listened at");
    return;
  }
  note[length] = '\0';
  char *path = note;
  unsigned long long device, inode, made;
  bool whole = take_number(&path, &device) && take_number(&path, &inode) && take_number(&path, &made);
  char *slash = whole && path[0] == '/' ? strrchr(path, '/') : NULL;
  if (slash == NULL || slash[1] == '\0') {
    errno = EINVAL;
    return complain_of("cannot tell which socket the host listened at");
  }
  const char *name = slash + 1;
  *slash = '\0';
  int parent = open(slash == path ? "/" : path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) {
    if (errno != ENOENT) complain_of("cannot open the folder of the socket that the host listened at");
    return;
  }
  struct stat found;
  if (fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) complain_of("cannot look at the socket that the host listened at");
  } else if (S_ISSOCK(found.st_mode) && found.st_dev == device && found.st_ino == inode &&
             (unsigned long long)found.st_mtim.tv_sec * 1000000000ULL + (unsigned long long)found.st_mtim.tv_nsec == made) {
    if (unlinkat(parent, name, 0) != 0 && errno != ENOENT) complain_of("cannot remove the socket that the host listened at");
  }
  close(parent);
}
