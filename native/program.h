/* Shared by the bootstrap and init: errors, arguments, writing, and cleaning up by scope. */
#ifndef BABELHOST_PROGRAM_H
#define BABELHOST_PROGRAM_H

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Our own exit statuses. Those of runtimes and drivers are passed on unchanged. */
enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOT_EXECUTED = 127, EXIT_SIGNALED = 128 };

/* The prefix of messages: each program defines its own. */
extern const char program_name[];

/*
 * Writes "PROGRAM: MESSAGE (ERRNAME): what the error means" to `fd`, or without the error if that is 0. The host takes
 * the name of the errno from between the parentheses, so the form of this line is part of the interface.
 */
void complain(int fd, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Complains to stderr, with errno, and exits with EXIT_FAILED. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for a fault that has no errno. */
_Noreturn void fail_plainly(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for wrong usage, with EXIT_USAGE. */
_Noreturn void fail_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The exit status that stands for a wait status: the status itself, or EXIT_SIGNALED + signal. */
int exit_status_of(int wait_status);

/* write(2) of all of it, through interruptions and short writes. False, with errno, if that is impossible. */
bool write_all(int fd, const char *bytes, size_t length);

/* Formats one short line and writes it in one write(2), so that lines of several writers do not mix. */
bool write_line(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Parses a decimal number between `least` and `most`, or fails with EXIT_USAGE naming `what`. */
long parse_number(const char *text, long least, long most, const char *what);

/* The value that follows an option: steps `arguments` on, or fails with EXIT_USAGE. */
const char *option_value(char ***arguments);

/* Releases what a variable has at the end of its scope, and keeps errno. */
#define cleanup_fd __attribute__((cleanup(cleanup_fdp)))
#define cleanup_free __attribute__((cleanup(cleanup_freep)))
#define cleanup_file __attribute__((cleanup(cleanup_filep)))
#define cleanup_dir __attribute__((cleanup(cleanup_dirp)))

/* Not for files that were written, whose close is checked. Linux closes a descriptor even if close(2) fails. */
static inline void cleanup_fdp(int *fd) {
  const int error = errno;
  if (*fd >= 0) close(*fd);
  errno = error;
}

static inline void cleanup_freep(void *pointer) { free(*(void **)pointer); }

static inline void cleanup_filep(FILE **file) {
  const int error = errno;
  if (*file != NULL) fclose(*file);
  errno = error;
}

static inline void cleanup_dirp(DIR **folder) {
  const int error = errno;
  if (*folder != NULL) closedir(*folder);
  errno = error;
}

/* Takes the descriptor out of a variable, so that it stays open. */
static inline int steal_fd(int *fd) {
  const int stolen = *fd;
  *fd = -1;
  return stolen;
}

#endif
