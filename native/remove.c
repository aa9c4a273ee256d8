/*
 * bootstrap remove PATH: removes a file or a folder with all in it, of any depth and width, with modes that keep its
 * owner out, and with any bytes for names. It follows no link and enters no mount. What cannot be removed is told on stderr, a
 * line each, as its place in PATH; all else is removed, and the exit status is 1. A folder that another process is
 * removing is left to that. Ends with stdin; killed at any instant, it leaves a folder with which the next one goes on.
 *
 * Every folder is emptied in place, and its own folders are moved up into PATH first: so nothing has to be remembered,
 * few descriptors are open however deep the folders were, and no path gets long.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct removal {
  /* The folder to be removed. */
  int top;
  /* Folders that were moved up have numbers for names: those from `first` to before `next` are still to be emptied. */
  unsigned long first, next;
  unsigned long removed, left;
  /* Whether to say what is left: not while it may still go. */
  bool tells;
};

bool is_dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

int open_inside(int parent, const char *name) {
  struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV};
  return (int)syscall(SYS_openat2, parent, name, &how, sizeof how);
}

int is_folder(int parent, const struct dirent *entry) {
  if (entry->d_type != DT_UNKNOWN) return entry->d_type == DT_DIR;
  struct stat status;
  if (fstatat(parent, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) return -1;
  return S_ISDIR(status.st_mode);
}

DIR *open_entries(int folder) {
  cleanup_fd int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = copy < 0 ? NULL : fdopendir(copy);
  if (entries != NULL) steal_fd(&copy);
  return entries;
}

/* Appends a name to a text, so that it stays on its line whatever its bytes are. */
static size_t append_name(char *text, size_t size, size_t length, const char *name) {
  for (; *name != '\0' && length + 5 < size; name++) {
    unsigned char byte = (unsigned char)*name;
    bool plain = byte >= ' ' && byte < 0x7f && byte != '\\';
    length += (size_t)snprintf(text + length, size - length, plain ? "%c" : "\\x%02x", byte);
  }
  return length;
}

/* Notes that something is left. `folder` is where in the top folder it lies, NULL for the top folder itself. */
static void leave(struct removal *removal, const char *folder, const char *name) {
  removal->left++;
  if (!removal->tells) return;
  const int error = errno;
  char place[2 * 4 * 255 + 32] = "";
  size_t length = 0;
  if (folder != NULL) {
    length = append_name(place, sizeof place, length, folder);
    length = append_name(place, sizeof place, length, "/");
  }
  append_name(place, sizeof place, length, name);
  complain(STDERR_FILENO, error, "cannot remove %s", place);
}

/* Opens a folder, and gives its owner the rights that emptying and moving it take. */
static int open_folder(int parent, const char *name) {
  int fd = open_inside(parent, name);
  if (fd < 0 && errno == EACCES) {
    bool opened = fchmodat(parent, name, S_IRWXU, AT_SYMLINK_NOFOLLOW) == 0;
    errno = EACCES;
    if (opened) fd = open_inside(parent, name);
  }
  /* Not checked: if this was needed, removing fails and is told. */
  if (fd >= 0) (void)fchmod(fd, S_IRWXU);
  return fd;
}

static void remove_file(struct removal *removal, int parent, const char *folder, const char *name) {
  if (unlinkat(parent, name, 0) == 0) removal->removed++;
  else if (errno != ENOENT) leave(removal, folder, name);
}

/* False, with errno, if the name is taken or the folder cannot be moved. */
static bool move_to(int parent, const char *name, int top, const char *number) {
  if (renameat2(parent, name, top, number, RENAME_NOREPLACE) == 0) return true;
  /* A file system that cannot do this. What a plain rename would replace is an empty folder. */
  return errno == EINVAL && renameat(parent, name, top, number) == 0;
}

static void move_up(struct removal *removal, int parent, const char *folder, const char *name) {
  bool opened = false;
  for (;;) {
    char number[24];
    snprintf(number, sizeof number, "%lu", removal->next++);
    if (move_to(parent, name, removal->top, number) || errno == ENOENT) return;
    if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR) continue;
    /* Its entry `..` changes, which takes rights on the folder that is moved (rename(2)). */
    cleanup_fd int fd = errno == EACCES && !opened ? open_folder(parent, name) : -1;
    if (fd < 0) return leave(removal, folder, name);
    opened = true;
  }
}

static void empty_folder(struct removal *removal, DIR *entries, const char *folder);

/* Empties and removes a folder in the top folder. */
static void remove_inner(struct removal *removal, const char *name) {
  cleanup_fd int fd = open_folder(removal->top, name);
  cleanup_dir DIR *entries = fd < 0 ? NULL : fdopendir(fd);
  if (entries == NULL) {
    if (errno != ENOENT) leave(removal, NULL, name);
    return;
  }
  steal_fd(&fd);
  unsigned long left = removal->left;
  empty_folder(removal, entries, name);
  if (unlinkat(removal->top, name, AT_REMOVEDIR) == 0) removal->removed++;
  /* If it holds something that is left, that has been told. */
  else if (errno != ENOENT && removal->left == left) leave(removal, NULL, name);
}

/* Takes all out of a folder: the top one, with `folder` being NULL, or one in that. */
static void empty_folder(struct removal *removal, DIR *entries, const char *folder) {
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir(entries);
    if (entry == NULL) break;
    if (is_dots(entry->d_name)) continue;
    switch (is_folder(dirfd(entries), entry)) {
      case 0:
        remove_file(removal, dirfd(entries), folder, entry->d_name);
        break;
      case 1:
        if (folder != NULL) {
          move_up(removal, dirfd(entries), folder, entry->d_name);
          break;
        }
        remove_inner(removal, entry->d_name);
        while (removal->first < removal->next) {
          char number[24];
          snprintf(number, sizeof number, "%lu", removal->first++);
          remove_inner(removal, number);
        }
        break;
      default:
        if (errno != ENOENT) leave(removal, folder, entry->d_name);
    }
  }
  if (errno != 0) leave(removal, folder, ".");
}

/* With `alone`, leaves a folder to another process that is at it. False if something is left. */
static bool remove_tree(int parent, const char *name, bool alone) {
  struct removal removal = {.tells = true};
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return true;
  const int error = errno;
  cleanup_fd int fd = open_folder(parent, name);
  if (fd >= 0 && alone && flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return true;
    leave(&removal, NULL, name);
    return false;
  }
  cleanup_dir DIR *entries = fd < 0 ? NULL : fdopendir(fd);
  if (entries == NULL) {
    if (errno == ENOENT) return true;
    /* No folder: what kept it from being removed as a file counts. */
    if (errno == ENOTDIR) errno = error;
    leave(&removal, NULL, name);
    return false;
  }
  removal.top = steal_fd(&fd);
  removal.tells = false;
  bool gone;
  for (;;) {
    removal.removed = removal.left = 0;
    empty_folder(&removal, entries, NULL);
    gone = unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
    if (gone) break;
    /*
     * Again for as long as that takes something out: a full disk has room then, and some file systems pass over entries
     * in a folder that changes. The last time only tells.
     */
    if (removal.removed == 0) {
      if (removal.tells && removal.left == 0) leave(&removal, NULL, name);
      if (removal.tells) break;
    }
    removal.tells = removal.removed == 0;
    rewinddir(entries);
  }
  return gone;
}

void remove_folder(int parent, const char *name) { remove_tree(parent, name, false); }

int remove_main(char **arguments) {
  const char *path = arguments[0];
  if (path == NULL || arguments[1] != NULL) fail_usage("usage: bootstrap remove PATH");
  const char *slash = strrchr(path, '/');
  if (path[0] != '/' || slash[1] == '\0' || is_dots(slash + 1)) fail_usage("remove needs an absolute path, not '%s'", path);
  die_with_parent(STDIN_FILENO);
  char folder[4096];
  if ((size_t)(slash - path) + 2 > sizeof folder) fail_usage("%s is too long", path);
  snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  cleanup_fd int parent = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0 && errno == ENOENT) return 0;
  if (parent < 0) fail("cannot open %s", folder);
  return remove_tree(parent, slash + 1, true) ? 0 : EXIT_FAILED;
}
