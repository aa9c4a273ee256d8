// The least that a process between a client and a driver can do: starts the driver that its arguments name, passes its own
// stdin on to it, and each line that the driver answers on to stdout, once it is whole. It looks at nothing but line ends.
// What it adds to the driver's own time is what a machine takes for a process in between, whatever that process does.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void write_all(int fd, const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(fd, bytes, count);
    if (written < 0) {
      struct pollfd room = {.fd = fd, .events = POLLOUT};
      if (errno == EINTR) continue;
      if (errno != EAGAIN || poll(&room, 1, -1) < 0) fail("write");
      continue;
    }
    bytes += written;
    count -= (size_t)written;
  }
}

// Starts the driver. Its stdin and stdout are a socket each, as a container's are; `ends` become ours.
static pid_t start(char *const arguments[], int ends[2]) {
  int in[2], out[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0) fail("socketpair");
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) < 0) fail("socketpair");
  pid_t driver = fork();
  if (driver < 0) fail("fork");
  if (driver == 0) {
    if (dup2(in[1], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0) fail("dup2");
    execv(arguments[0], arguments);
    fail(arguments[0]);
  }
  close(in[1]);
  close(out[1]);
  ends[0] = in[0];
  ends[1] = out[0];
  return driver;
}

// Reads once, behind what is there; returns how many bytes there are then, or what was there at the end of the stream.
static size_t read_more(int fd, char **bytes, size_t *room, size_t count, int *ended) {
  if (*room - count < 64 * 1024) {
    *room *= 2;
    *bytes = realloc(*bytes, *room);
    if (*bytes == NULL) fail("realloc");
  }
  ssize_t more = read(fd, *bytes + count, *room - count);
  if (more < 0 && errno != EINTR && errno != EAGAIN) fail("read");
  *ended = more == 0;
  return more > 0 ? count + (size_t)more : count;
}

int main(int argc, char *argv[]) {
  int ends[2];
  if (argc < 2) {
    fprintf(stderr, "usage: relay DRIVER [ARGUMENT ...]\n");
    return 2;
  }
  pid_t driver = start(argv + 1, ends);
  size_t room = 256 * 1024, held = 0;
  char *bytes = malloc(room);
  if (bytes == NULL) fail("malloc");
  struct pollfd streams[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = ends[1], .events = POLLIN}};
  for (;;) {
    if (poll(streams, 2, -1) < 0) {
      if (errno == EINTR) continue;
      fail("poll");
    }
    int ended = 0;
    if (streams[0].revents != 0) {
      char request[64 * 1024];
      ssize_t count = read(STDIN_FILENO, request, sizeof request);
      if (count < 0 && errno != EINTR && errno != EAGAIN) fail("read");
      if (count > 0) write_all(ends[0], request, (size_t)count);
      if (count == 0) {
        close(ends[0]);
        streams[0].fd = -1;
      }
    }
    if (streams[1].revents != 0) {
      size_t before = held;
      held = read_more(ends[1], &bytes, &room, held, &ended);
      char *line_end = memrchr(bytes + before, '\n', held - before);
      if (line_end != NULL) {
        size_t whole = (size_t)(line_end + 1 - bytes);
        write_all(STDOUT_FILENO, bytes, whole);
        memmove(bytes, bytes + whole, held - whole);
        held -= whole;
      }
      if (ended) break;
    }
  }
  if (waitpid(driver, NULL, 0) < 0) fail("waitpid");
  return 0;
}
