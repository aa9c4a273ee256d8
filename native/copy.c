/*
 * bootstrap put [-- CMD ARG…] and bootstrap get MOST PATH: files into and out of a container, executed in it, as its
 * user and with no more rights than that has. So no path can lead anywhere but to the container's own files, whatever
 * links its processes put in the way, and whatever they change meanwhile.
 *
 * put reads records from stdin: "file MODE SIZE LENGTH\n" (MODE octal), LENGTH bytes of an absolute path and SIZE bytes
 * of content; then "end\n". All files are written beside their places first and change places with what is there when
 * all of them are written; if one cannot be, none is, and the others get their old content back. With a command, it writes "placed\n" to stdout and executes it, with the rest of stdin.
 *
 * get writes "MODE\n" and the content of a regular file to stdout, MOST + 1 bytes of it at the most: that one byte more
 * tells that the file is too long.
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

enum { MOST_FILES = 4096, CHUNK = 64 * 1024 };

struct placed {
  char *path, *beside;
  bool in_place;
  /* Whether `beside` is what was in its place before. */
  bool exchanged;
};

static struct placed files[MOST_FILES];
static size_t file_count = 0;

/* What fails here must leave nothing: fail() ends the process, and this is called at its end. */
static void remove_unplaced(void) {
  for (size_t i = file_count; i-- > 0;) {
    const struct placed *file = &files[i];
    if (file->exchanged) renameat2(AT_FDCWD, file->beside, AT_FDCWD, file->path, RENAME_EXCHANGE);
    if (file->in_place && !file->exchanged) unlink(file->path);
    if (file->beside != NULL && (file->exchanged || !file->in_place)) unlink(file->beside);
  }
}

/* As fail(), with `path` in the message, after removing what was written so far. */
_Noreturn static void give_up(const char *step, const char *path) {
  int cause = errno;
  remove_unplaced();
  errno = cause;
  fail("cannot %s %s", step, path);
}

static void read_exactly(char *bytes, size_t length) {
  while (length > 0) {
    ssize_t count = read(STDIN_FILENO, bytes, length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) give_up("read", "the files");
    if (count == 0) {
      remove_unplaced();
      fail_plainly("the files ended too early");
    }
    bytes += count;
    length -= (size_t)count;
  }
}

/* A byte at a time: what follows belongs to whoever reads stdin next. */
static void read_header(char *line, size_t size) {
  for (size_t length = 0; length < size; length++) {
    read_exactly(line + length, 1);
    if (line[length] == '\n') {
      line[length] = '\0';
      return;
    }
  }
  remove_unplaced();
  fail_plainly("a header is too long");
}

static char *checked(char *memory) {
  if (memory == NULL) give_up("find memory for", "the files");
  return memory;
}

static void write_beside(struct placed *file, mode_t mode, unsigned long size) {
  static char chunk[CHUNK];
  struct stat status;
  if (lstat(file->path, &status) == 0 && S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    give_up("write", file->path);
  }
  const char *slash = strrchr(file->path, '/');
  int length = slash == NULL ? 0 : (int)(slash - file->path);
  char *beside = NULL;
  if (asprintf(&beside, "%.*s/.babelhost-%d-%zu", length, file->path, getpid(), file_count) < 0) checked(NULL);
  int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) give_up("write", file->path);
  file->beside = beside;
  while (size > 0) {
    size_t part = size < CHUNK ? size : CHUNK;
    read_exactly(chunk, part);
    if (!write_all(fd, chunk, part)) give_up("write", file->path);
    size -= part;
  }
  if (fchmod(fd, mode) != 0 || close(fd) != 0) give_up("write", file->path);
}

static void receive_files(void) {
  char line[128];
  for (;;) {
    unsigned mode;
    unsigned long size, length;
    read_header(line, sizeof line);
    if (strcmp(line, "end") == 0) return;
    if (sscanf(line, "file %o %lu %lu", &mode, &size, &length) != 3 || length == 0 || length >= PATH_MAX ||
        file_count == MOST_FILES) {
      remove_unplaced();
      fail_plainly("'%s' is no header of a file", line);
    }
    struct placed *file = &files[file_count++];
    file->path = checked(calloc(1, length + 1));
    read_exactly(file->path, length);
    if (file->path[0] != '/' || strlen(file->path) != length) {
      remove_unplaced();
      fail_plainly("a path is not absolute");
    }
    write_beside(file, (mode_t)(mode & 0777), size);
  }
}

/* False, with errno, if it cannot be. */
static bool place(struct placed *file) {
  file->exchanged = renameat2(AT_FDCWD, file->beside, AT_FDCWD, file->path, RENAME_EXCHANGE) == 0;
  file->in_place = file->exchanged;
  if (file->in_place) return true;
  if (errno == ENOENT) file->in_place = renameat2(AT_FDCWD, file->beside, AT_FDCWD, file->path, RENAME_NOREPLACE) == 0;
  /* A file system that cannot do these: its old content is gone then, whatever becomes of the other files. */
  else if (errno == EINVAL) file->in_place = rename(file->beside, file->path) == 0;
  return file->in_place;
}

int put_main(char **arguments) {
  if (arguments[0] != NULL && (strcmp(arguments[0], "--") != 0 || arguments[1] == NULL)) {
    fail_usage("put takes -- and a command, or nothing");
  }
  receive_files();
  for (size_t i = 0; i < file_count; i++) {
    if (!place(&files[i])) give_up("write", files[i].path);
  }
  for (size_t i = 0; i < file_count; i++) {
    /* Too late to give up: all is in place. */
    if (files[i].exchanged && unlink(files[i].beside) != 0) complain_of("cannot remove what was replaced");
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
  /* Not to wait for somebody to open the other end of a FIFO. */
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) fail("cannot open %s", path);
  struct stat status;
  if (fstat(fd, &status) != 0) fail("cannot examine %s", path);
  if (S_ISDIR(status.st_mode)) errno = EISDIR;
  if (S_ISDIR(status.st_mode)) fail("cannot read %s", path);
  if (!S_ISREG(status.st_mode)) fail_plainly("%s is no regular file", path);
  if (!write_line(STDOUT_FILENO, "%o\n", (unsigned)(status.st_mode & 07777))) fail("cannot write");
  while (left > 0) {
    ssize_t count = read(fd, chunk, left < CHUNK ? left : CHUNK);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot read %s", path);
    if (count == 0) break;
    if (!write_all(STDOUT_FILENO, chunk, (size_t)count)) fail("cannot write");
    left -= (unsigned long)count;
  }
  return 0;
}
