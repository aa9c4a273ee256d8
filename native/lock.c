/*
 * bootstrap lock [--try] [--after-sync FOLDER] PATH: takes flock(2) on PATH (made if it is not there), writes "locked\n"
 * to stdout and holds the lock until its stdin ends, or its parent does, however it dies: by a signal, as the other end of
 * stdin may be held a little longer by what the parent was forking, and as one that is stopped would not read.
 * With --try, a lock that someone else holds is not waited for: "busy\n" is written instead, and the exit status is 0.
 * With --after-sync, FOLDER is opened, then a line on stdin is waited for; then what FOLDER's file system has in memory goes
 * to disk (syncfs(2), which Node lacks too), "synced\n" is written, and only then the lock is taken.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Interrupted, Linux has closed it all the same (close(2)). Any other fault may be of what was written before. */
static void close_file(int fd, const char *path) {
  if (close(fd) != 0 && errno != EINTR) fail("cannot close %s", path);
}

/* O_NONBLOCK: a FIFO in the place of the lock must not hold us up. */
static const int OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

/* Opens a directory or a file; makes a file if there is nothing (O_CREAT alone would refuse a directory). */
static int open_lock(const char *path) {
  int fd = open(path, OPEN_FLAGS);
  if (fd < 0 && errno == ENOENT) fd = open(path, OPEN_FLAGS | O_CREAT, 0600);
  if (fd < 0) fail("cannot open %s to lock it", path);
  return fd;
}

/* Whether `path` still is what `fd` has open: the holder before us may have removed or replaced it. */
static bool is_still(const char *path, int fd) {
  struct stat opened, named;
  if (fstat(fd, &opened) != 0) fail("cannot examine %s", path);
  if (lstat(path, &named) != 0) return false;
  return opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* Reads stdin away. Returns once it has ended, or when `other` (-1 for none) can be read; true if stdin ended. */
static bool wait_for_end_of_stdin(int other) {
  struct pollfd polled[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = other, .events = POLLIN}};
  char discarded[512];
  for (;;) {
    if (poll(polled, 2, -1) < 0) {
      if (errno == EINTR) continue;
      fail("cannot wait for the end of stdin");
    }
    if (polled[0].revents != 0) {
      ssize_t length = read(STDIN_FILENO, discarded, sizeof discarded);
      if (length == 0 || (length < 0 && errno != EINTR && errno != EAGAIN)) return true;
    }
    if (polled[1].revents != 0) return false;
  }
}

/*
 * Waits for the lock in a child, so that this process can watch stdin meanwhile. flock belongs to the open file, which
 * both share: what the child was granted stays with us when it exits. False if stdin ended first.
 */
static bool wait_for_lock(int fd, const char *path) {
  int lifeline[2];
  if (pipe2(lifeline, O_CLOEXEC) != 0) fail("cannot make a pipe");
  pid_t child = fork_or_fail("wait for the lock");
  if (child == 0) {
    close_file(lifeline[1], "a pipe");
    die_with_parent(lifeline[0]);
    while (flock(fd, LOCK_EX) != 0) {
      if (errno != EINTR) fail("cannot lock %s", path);
    }
    _exit(0);
  }
  int handle = open_pidfd(child);
  bool ended = wait_for_end_of_stdin(handle);
  if (ended) kill(child, SIGKILL);
  int status = wait_for(child);
  close_file(handle, "the child that waits for the lock");
  close_file(lifeline[0], "a pipe");
  close_file(lifeline[1], "a pipe");
  if (ended) return false;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) _exit(EXIT_FAILED); /* the child has said why */
  return true;
}

/*
 * Waits for a line on stdin, then syncs the file system of `folder`. False if stdin ended before. The folder is opened
 * first: syncfs then also tells of what could not be written while we waited.
 */
static bool sync_when_asked(const char *folder) {
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("cannot open %s to sync its file system", folder);
  char line = 0;
  while (line != '\n') {
    ssize_t length = read(STDIN_FILENO, &line, 1);
    if (length == 0) return false;
    if (length < 0 && errno != EINTR) fail("cannot wait for a line on stdin");
  }
  if (syncfs(fd) != 0) fail("cannot write what %s has in memory to disk", folder);
  close_file(fd, folder);
  if (!write_all(STDOUT_FILENO, "synced\n", 7)) fail("cannot say that %s is synced", folder);
  return true;
}

/* Takes the lock, for as long as this process lives, and says so. False if somebody has it, or stdin ended before. */
static bool take_lock(const char *path, bool only_try) {
  for (;;) {
    int fd = open_lock(path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) fail("cannot lock %s", path);
      if (only_try) {
        if (!write_all(STDOUT_FILENO, "busy\n", 5)) fail("cannot say that %s is busy", path);
        return false;
      }
      if (!wait_for_lock(fd, path)) return false;
    }
    if (is_still(path, fd)) {
      if (!write_all(STDOUT_FILENO, "locked\n", 7)) fail("cannot say that %s is locked", path);
      return true;
    }
    close_file(fd, path);
  }
}

/*
 * Ties this process to its parent. False if that has ended already, or wants nothing any more: PATH must not be made after
 * a death that somebody may have swept up after.
 */
static bool is_wanted(void) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail("cannot tie this process to its parent");
  struct pollfd polled = {.fd = STDIN_FILENO, .events = 0};
  if (poll(&polled, 1, 0) < 0) fail("cannot see whether the parent lives");
  return polled.revents == 0;
}

int lock_main(char **arguments) {
  bool only_try = *arguments != NULL && strcmp(*arguments, "--try") == 0;
  if (only_try) arguments++;
  const char *synced = NULL;
  if (*arguments != NULL && strcmp(*arguments, "--after-sync") == 0) {
    synced = option_value(&arguments);
    arguments++;
  }
  if (arguments[0] == NULL || arguments[1] != NULL)
    fail_usage("usage: bootstrap lock [--try] [--after-sync FOLDER] PATH");
  if (!is_wanted()) return 0;
  if (synced != NULL && !sync_when_asked(synced)) return 0;
  if (take_lock(arguments[0], only_try)) wait_for_end_of_stdin(-1);
  return 0;
}
