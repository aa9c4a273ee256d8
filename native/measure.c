/*
 * bootstrap measure FILES BYTES FOLDER: how many files, folders and links a folder holds, and how many bytes of disk it
 * takes, on stdout as "FILES BYTES". It stops when one of both is over the given number: that bounds its time and memory.
 *
 * A folder may be of any depth, and a container may move its folders meanwhile, where du(1) gives up. One folder is open
 * at a time. On the way up, `..` is opened; if that is not where we came from, the way is walked from the top.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* A folder on the way to the one that is open. */
struct level {
  dev_t device;
  ino_t inode;
  /* The names of its folders, each ended by NUL; those before `next` have been visited, `current` is the last of them. */
  char *names;
  size_t length, size, current, next;
};

static struct level *levels = NULL;
static size_t depth = 0, room = 0;
static double files = 0, bytes = 0, most_files, most_bytes;

static void *resized(void *memory, size_t size) {
  memory = realloc(memory, size);
  if (memory == NULL) fail("cannot find memory to measure");
  return memory;
}

static void note_folder(struct level *level, const char *name) {
  size_t length = strlen(name) + 1;
  if (level->length + length > level->size) {
    level->size = 2 * (level->size + length);
    level->names = resized(level->names, level->size);
  }
  memcpy(level->names + level->length, name, length);
  level->length += length;
}

/* A file with several names is counted in parts, one at each name, so that none has to be remembered. */
static void count(const struct stat *status) {
  double part = S_ISDIR(status->st_mode) || status->st_nlink == 0 ? 1 : 1 / (double)status->st_nlink;
  files += part;
  bytes += 512 * (double)status->st_blocks * part;
}

static bool is_over(void) { return files > most_files || bytes > most_bytes; }

/* Whether errno means that the tree has changed, or that something is mounted in it. */
static bool has_changed(void) { return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV; }

static void leave_level(void) { free(levels[--depth].names); }

/* Goes down into an open folder: counts what is in it. Takes `fd` over, and returns it. */
static int enter(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) fail("cannot examine a folder");
  if (depth == room) {
    room = 2 * room + 64;
    levels = resized(levels, room * sizeof *levels);
  }
  struct level *level = &levels[depth++];
  *level = (struct level){.device = status.st_dev, .inode = status.st_ino};
  cleanup_dir DIR *entries = open_entries(fd);
  if (entries == NULL) fail("cannot read a folder");
  while (!is_over()) {
    errno = 0;
    const struct dirent *entry = readdir(entries);
    if (entry == NULL && errno != 0) fail("cannot read a folder");
    if (entry == NULL) break;
    if (is_dots(entry->d_name)) continue;
    if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) fail("cannot examine a file");
      continue;
    }
    count(&status);
    if (S_ISDIR(status.st_mode)) note_folder(level, entry->d_name);
  }
  return fd;
}

static bool is_level(int fd, const struct level *level) {
  struct stat status;
  if (fstat(fd, &status) != 0) fail("cannot examine a folder");
  return status.st_dev == level->device && status.st_ino == level->inode;
}

/* Walks from the top to the deepest level that is still there, and forgets those below. */
static int walk_down(int top) {
  int fd = fcntl(top, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) fail("cannot open a folder");
  for (size_t reached = 1; reached < depth; reached++) {
    cleanup_fd int inner = open_inside(fd, levels[reached - 1].names + levels[reached - 1].current);
    if (inner < 0 && !has_changed()) fail("cannot open a folder");
    if (inner < 0 || !is_level(inner, &levels[reached])) {
      while (depth > reached) leave_level();
      break;
    }
    close(fd);
    fd = steal_fd(&inner);
  }
  return fd;
}

/* Goes up from the open folder, whose level is done. Closes it, and returns the one above. */
static int go_up(int fd, int top) {
  leave_level();
  cleanup_fd int above = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (above < 0 && !has_changed()) fail("cannot open a folder");
  close(fd);
  return above >= 0 && is_level(above, &levels[depth - 1]) ? steal_fd(&above) : walk_down(top);
}

static void measure(int top) {
  struct stat status;
  if (fstat(top, &status) != 0) fail("cannot examine the folder");
  bytes = 512 * (double)status.st_blocks;
  int fd = fcntl(top, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) fail("cannot open the folder");
  fd = enter(fd);
  while (!is_over()) {
    struct level *level = &levels[depth - 1];
    if (level->next == level->length) {
      if (depth == 1) break;
      fd = go_up(fd, top);
      continue;
    }
    level->current = level->next;
    level->next += strlen(level->names + level->current) + 1;
    int inner = open_inside(fd, level->names + level->current);
    if (inner < 0 && !has_changed()) fail("cannot open a folder");
    if (inner < 0) continue;
    close(fd);
    fd = enter(inner);
  }
  close(fd);
  while (depth > 0) leave_level();
  free(levels);
}

int measure_main(char **arguments) {
  if (arguments[0] == NULL || arguments[1] == NULL || arguments[2] == NULL || arguments[3] != NULL) {
    fail_usage("usage: bootstrap measure FILES BYTES FOLDER");
  }
  most_files = (double)parse_number(arguments[0], 0, LONG_MAX, "FILES");
  most_bytes = (double)parse_number(arguments[1], 0, LONG_MAX, "BYTES");
  die_with_parent(STDIN_FILENO);
  cleanup_fd int top = open(arguments[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (top < 0) fail("cannot open %s", arguments[2]);
  measure(top);
  if (!write_line(STDOUT_FILENO, "%.0f %.0f\n", files, bytes)) fail("cannot say what %s holds", arguments[2]);
  return 0;
}
