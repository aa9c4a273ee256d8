/*
 * init put [-- CMD ARG…] and init get MOST PATH: files into and out of a container, executed in it as its user. So no
 * path can lead anywhere but to the container's own files, whatever links its processes make, and whatever they change.
 *
 * put reads records from stdin: "file MODE SIZE LENGTH\n" (MODE octal), LENGTH bytes of an absolute path and SIZE bytes
 * of content; then "end\n". All files are written beside their places first and change places with what is there when
 * all of them are written; if one cannot be, none is, and the others get their old content back. With a command, it
 * writes "placed\n" to stdout and executes it, with the rest of stdin.
 *
 * get writes "MODE\n" and the content of a regular file to stdout, MOST + 1 bytes of it at the most: the last tells that
 * the file is too long.
 */
#define _GNU_SOURCE
#include "copy.h"
#include "../program.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_FILES = 4096, CHUNK = 64 * 1024 };

struct placed {
  char *path, *beside;
  bool in_place;
  /* Whether `beside` is what was in its place before. */
  bool exchanged;
};

static struct placed files[MOST_FILES];
static size_t file_count = 0;

/* Restores what was there before, as far as that is possible. */
static void remove_unplaced(void) {
  for (size_t i = file_count; i-- > 0;) {
    const struct placed *file = &files[i];
    if (file->exchanged) (void)renameat2(AT_FDCWD, file->beside, AT_FDCWD, file->path, RENAME_EXCHANGE);
    if (file->in_place && !file->exchanged) (void)unlink(file->path);
    if (file->beside != NULL && (file->exchanged || !file->in_place)) (void)unlink(file->beside);
  }
}

/* These return false when they have said what failed. */
static bool cannot(const char *step, const char *path) {
  complain(STDERR_FILENO, errno, "cannot %s %s", step, path);
  return false;
}

static bool is_wrong(const char *what) {
  complain(STDERR_FILENO, 0, "%s", what);
  return false;
}

static bool read_exactly(char *bytes, size_t length) {
  while (length > 0) {
    ssize_t count = TEMP_FAILURE_RETRY(read(STDIN_FILENO, bytes, length));
    if (count < 0) return cannot("read", "the files");
    if (count == 0) return is_wrong("the files ended too early");
    bytes += count;
    length -= (size_t)count;
  }
  return true;
}

/* A byte at a time: what follows belongs to whoever reads stdin next. */
static bool read_header(char *line, size_t size) {
  for (size_t length = 0; length < size; length++) {
    if (!read_exactly(line + length, 1)) return false;
    if (line[length] == '\n') {
      line[length] = '\0';
      return true;
    }
  }
  return is_wrong("a header is too long");
}

static bool write_beside(struct placed *file, mode_t mode, unsigned long size) {
  static char chunk[CHUNK];
  struct stat status;
  if (lstat(file->path, &status) == 0 && S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    return cannot("write", file->path);
  }
  const char *slash = strrchr(file->path, '/');
  cleanup_free char *beside = NULL;
  if (asprintf(&beside, "%.*s/.babelhost-%d-%zu", (int)(slash - file->path), file->path, getpid(), file_count) < 0) {
    beside = NULL;
    return cannot("find memory for", "the files");
  }
  cleanup_fd int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return cannot("write", file->path);
  file->beside = beside;
  beside = NULL;
  while (size > 0) {
    size_t part = size < CHUNK ? size : CHUNK;
    if (!read_exactly(chunk, part)) return false;
    if (!write_all(fd, chunk, part)) return cannot("write", file->path);
    size -= part;
  }
  if (fchmod(fd, mode) != 0 || close(steal_fd(&fd)) != 0) return cannot("write", file->path);
  return true;
}

static bool receive_files(void) {
  char line[128];
  for (;;) {
    unsigned mode;
    unsigned long size, length;
    if (!read_header(line, sizeof line)) return false;
    if (strcmp(line, "end") == 0) return true;
    if (sscanf(line, "file %o %lu %lu", &mode, &size, &length) != 3 || length == 0 || length >= PATH_MAX ||
        file_count == MOST_FILES) {
      complain(STDERR_FILENO, 0, "'%s' is no header of a file", line);
      return false;
    }
    struct placed *file = &files[file_count++];
    file->path = calloc(1, length + 1);
    if (file->path == NULL) return cannot("find memory for", "the files");
    if (!read_exactly(file->path, length)) return false;
    if (file->path[0] != '/' || strlen(file->path) != length) return is_wrong("a path is not absolute");
    if (!write_beside(file, (mode_t)(mode & 0777), size)) return false;
  }
}

/* Puts a file in its place. */
static bool place(struct placed *file) {
  file->exchanged = renameat2(AT_FDCWD, file->beside, AT_FDCWD, file->path, RENAME_EXCHANGE) == 0;
  file->in_place = file->exchanged;
  if (file->in_place) return true;
  if (errno == ENOENT) file->in_place = renameat2(AT_FDCWD, file->beside, AT_FDCWD, file->path, RENAME_NOREPLACE) == 0;
  /* A file system that cannot do these: its old content is gone then, whatever becomes of the other files. */
  else if (errno == EINVAL) file->in_place = rename(file->beside, file->path) == 0;
  return file->in_place || cannot("write", file->path);
}

int put_main(char **arguments) {
  if (arguments[0] != NULL && (strcmp(arguments[0], "--") != 0 || arguments[1] == NULL)) {
    fail_usage("put takes -- and a command, or nothing");
  }
  bool whole = receive_files();
  for (size_t i = 0; whole && i < file_count; i++) whole = place(&files[i]);
  if (!whole) {
    remove_unplaced();
    return EXIT_FAILED;
  }
  for (size_t i = 0; i < file_count; i++) {
    /* All is in place: this is told, and no more than that. */
    if (files[i].exchanged && unlink(files[i].beside) != 0) {
      complain(STDERR_FILENO, errno, "cannot remove what was replaced");
    }
    free(files[i].beside);
    free(files[i].path);
  }
  file_count = 0;
  if (arguments[0] == NULL) return 0;
  if (!write_all(STDOUT_FILENO, "placed\n", 7)) fail("cannot say that the files are in place");
  execvp(arguments[1], arguments + 1);
  fail("cannot execute %s", arguments[1]);
}

int get_main(char **arguments) {
  static char chunk[CHUNK];
  if (arguments[0] == NULL || arguments[1] == NULL) fail_usage("get needs a size and a path");
  unsigned long left = (unsigned long)parse_number(arguments[0], 0, LONG_MAX - 1, "the size") + 1;
  const char *path = arguments[1];
  /* O_NONBLOCK: nobody may have the other end of a FIFO. */
  cleanup_fd int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) fail("cannot open %s", path);
  struct stat status;
  if (fstat(fd, &status) != 0) fail("cannot examine %s", path);
  if (S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    fail("cannot read %s", path);
  }
  if (!S_ISREG(status.st_mode)) fail_plainly("%s is no regular file", path);
  if (!write_line(STDOUT_FILENO, "%o\n", (unsigned)(status.st_mode & 07777))) fail("cannot write");
  while (left > 0) {
    ssize_t count = TEMP_FAILURE_RETRY(read(fd, chunk, left < CHUNK ? left : CHUNK));
    if (count < 0) fail("cannot read %s", path);
    if (count == 0) break;
    if (!write_all(STDOUT_FILENO, chunk, (size_t)count)) fail("cannot write");
    left -= (unsigned long)count;
  }
  return 0;
}
