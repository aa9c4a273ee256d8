/*
 * The starter: the process of the guard that starts containers. It lives in the guard's namespaces, below process 1 of
 * them, and is so small that starting a process costs little; a fork of the host, with its heap, costs more than all
 * that the bootstrap does. It takes requests on a socket in the host's folder, where nobody but the host can connect.
 *
 * Four connections make one start: the control channel and the container's stdin, stdout and stderr. Each begins with a
 * header, "ID KIND STRINGS CONTENT\n": a ULID; one of c, 0, 1 and 2; and, for the control channel, the lengths of the
 * request's arguments (each ended by a zero byte) and of its content, which follow. What the arguments are, request.c
 * tells. After the header the connections are the container's own: no process stands between it and the host.
 *
 * Written to the control channel: "process HOST GUARD" once the runtime has done its work, the id of the container's
 * process 1 as the host and as the guard's namespace have it (HOST is 0 if it has ended already). Else what the
 * bootstrap has to complain of, and "ended STATUS", the runtime's status. When the host closes its end before that, the
 * runtime is killed.
 */
#define _GNU_SOURCE
#include "bootstrap.h"
#include "connections.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  MOST_STARTS = 1024,
  /* Another process's doing may have left us without descriptors or memory: we try again after so many ms. */
  PAUSE = 50,
};

/* A runtime that is at work. */
struct start {
  pid_t runtime;
  int pidfd, control;
  bool killed;
  char *pid_file;
};

static struct start starts[MOST_STARTS];
static size_t start_count = 0;

/* The arguments of a request, ended by NULL; NULL without memory, or if they are none. */
static char **split(char *strings, size_t length) {
  size_t count = 0;
  if (strings[length - 1] != '\0') return NULL;
  for (size_t i = 0; i < length; i++) count += strings[i] == '\0';
  char **arguments = calloc(count + 1, sizeof *arguments);
  for (size_t i = 0; arguments != NULL && i < count; i++) {
    arguments[i] = strings;
    strings += strlen(strings) + 1;
  }
  return arguments;
}

/* Says on the control channel why nothing was started, and closes it. */
static void refuse(int control, const char *step) {
  complaints = control;
  complain_of(step);
  complaints = STDERR_FILENO;
  write_line(control, "ended %d\n", EXIT_FAILED);
  close(control);
}

static void begin(const struct starter *starter, struct request *request) {
  struct start *start = &starts[start_count];
  char *pid_file = request->arguments == NULL ? NULL : strdup(request->arguments[0]);
  if (pid_file == NULL) return refuse(request->control, "cannot take the request");
  want_cgroup_lock();
  pid_t runtime = fork();
  if (runtime == 0) serve_request(starter, request);
  int pidfd = runtime < 0 ? -1 : (int)syscall(SYS_pidfd_open, runtime, 0);
  if (pidfd < 0) {
    int cause = errno;
    if (runtime > 0) kill(runtime, SIGKILL);
    if (runtime > 0) wait_for(runtime);
    free(pid_file);
    errno = cause;
    return refuse(request->control, runtime < 0 ? "cannot fork to start a container" : "cannot watch the runtime");
  }
  *start = (struct start){.runtime = runtime, .pidfd = pidfd, .control = request->control, .pid_file = pid_file};
  start_count++;
}

/* Begins the start whose control channel is at `index`, if its mates are there; they are no longer ours then. */
static void begin_if_complete(const struct starter *starter, size_t index) {
  struct connection *control = &connections[index];
  struct request request = {.control = control->fd, .stdio = {-1, -1, -1}};
  for (size_t i = 0; i < connection_count; i++) {
    const struct connection *other = &connections[i];
    if (i == index || !is_complete(other) || memcmp(other->header, control->header, ID) != 0) continue;
    if (kind_of(other) != 'c') request.stdio[kind_of(other) - '0'] = other->fd;
  }
  if (request.stdio[0] < 0 || request.stdio[1] < 0 || request.stdio[2] < 0) return;
  request.arguments = split(control->body, control->strings);
  request.content = control->body + control->strings;
  request.content_length = control->content;
  begin(starter, &request);
  free(request.arguments);
  forget_connection(index);
  for (size_t i = connection_count; i-- > 0;) {
    int fd = connections[i].fd;
    if (fd == request.stdio[0] || fd == request.stdio[1] || fd == request.stdio[2]) drop_connection(i);
  }
}

static void begin_complete(const struct starter *starter) {
  for (size_t i = 0; i < connection_count && start_count < MOST_STARTS;) {
    size_t before = connection_count;
    if (kind_of(&connections[i]) == 'c' && is_complete(&connections[i])) begin_if_complete(starter, i);
    /* Others have taken the places of those that have gone. */
    i = connection_count == before ? i + 1 : 0;
  }
}

static pid_t read_pid_file(const char *path) {
  char text[32] = {0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  int cause = errno;
  if (fd >= 0) close(fd);
  errno = cause;
  return length <= 0 ? -1 : atoi(text);
}

/*
 * The host's id of a process of our namespace; 0 if it has ended, -1 if it cannot be told. A pidfd is opened here, and
 * its fdinfo, read through the host's /proc, has the id there (proc_pid_fdinfo(5)).
 */
static pid_t host_id_of(const struct starter *starter, pid_t process) {
  char path[64], text[512] = {0};
  int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
  if (pidfd < 0) return errno == ESRCH ? 0 : -1;
  snprintf(path, sizeof path, "self/fdinfo/%d", pidfd);
  int fd = openat(starter->host_proc, path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  close(pidfd);
  const char *line = length < 0 ? NULL : strstr(text, "Pid:");
  int id;
  if (line == NULL || sscanf(line, "Pid: %d", &id) != 1) return -1;
  return id < 0 ? 0 : id;
}

static void report(const struct starter *starter, const struct start *start, int status) {
  char step[512];
  complaints = start->control;
  if (status == 0) {
    pid_t process = read_pid_file(start->pid_file);
    if (process < 0) {
      snprintf(step, sizeof step, "cannot read %.480s", start->pid_file);
      complain_of(step);
      status = EXIT_FAILED;
    } else {
      pid_t host = host_id_of(starter, process);
      if (host < 0) complain_of("cannot tell the container's process");
      if (host < 0) status = EXIT_FAILED;
      if (host >= 0) write_line(start->control, "process %d %d\n", host, process);
    }
  }
  if (status != 0) write_line(start->control, "ended %d\n", status);
  complaints = STDERR_FILENO;
}

static void finish(const struct starter *starter, size_t index) {
  struct start *start = &starts[index];
  report(starter, start, exit_status_of(wait_for(start->runtime)));
  close(start->pidfd);
  close(start->control);
  free(start->pid_file);
  *start = starts[--start_count];
}

/* Fills `polled`: the socket for new connections, the starts with their control channels, the connections. */
static size_t list_polled(struct pollfd *polled, int sockets) {
  size_t count = 0;
  polled[count++] = (struct pollfd){.fd = connection_count < MOST_CONNECTIONS ? sockets : -1, .events = POLLIN};
  for (size_t i = 0; i < start_count; i++) {
    polled[count++] = (struct pollfd){.fd = starts[i].pidfd, .events = POLLIN};
    polled[count++] = (struct pollfd){.fd = starts[i].killed ? -1 : starts[i].control, .events = POLLRDHUP};
  }
  for (size_t i = 0; i < connection_count; i++) {
    /*
     * One that waits for its mates is no longer read from, but seen to end, which is told unasked; half an end of the
     * control channel means as much. What a container is to read may have ended already.
     */
    short half = kind_of(&connections[i]) == 'c' ? POLLRDHUP : 0;
    short events = is_complete(&connections[i]) ? half : POLLIN;
    polled[count++] = (struct pollfd){.fd = connections[i].fd, .events = events};
  }
  return count;
}

/* Keeps the descriptors that a container's process is given away from ours. */
static int move_up(int fd) {
  int moved = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OWN_DESCRIPTOR);
  if (moved < 0) fail("cannot move a file descriptor");
  return moved;
}

_Noreturn void start_containers(struct starter starter) {
  static struct pollfd polled[1 + 2 * MOST_STARTS + MOST_CONNECTIONS];
  starter.sockets = move_up(starter.sockets);
  starter.host_proc = move_up(starter.host_proc);
  if (starter.runtime >= 0) starter.runtime = move_up(starter.runtime);
  if (starter.own_cgroup >= 0) starter.own_cgroup = move_up(starter.own_cgroup);
  for (size_t i = 0; i < starter.cgroup_count; i++) starter.cgroups[i].fd = move_up(starter.cgroups[i].fd);
  for (int fd = STDERR_FILENO + 1; fd < FIRST_OWN_DESCRIPTOR; fd++) {
    if (dup3(STDERR_FILENO, fd, O_CLOEXEC) < 0) fail("cannot reserve a file descriptor");
  }
  keep_cgroup_lock_near(starter.own_cgroup);
  bool pausing = false;
  for (;;) {
    const size_t count = list_polled(polled, starter.sockets), first = 1, had_starts = start_count;
    if (pausing) polled[0].fd = -1;
    if (poll(polled, count, pausing ? PAUSE : -1) < 0 && errno != EINTR) fail("cannot wait for requests");
    for (size_t i = 0; i < connection_count; i++) {
      if (polled[first + 2 * had_starts + i].revents == 0) continue;
      /* Only its end is told of one that is complete. */
      connections[i].useless = is_complete(&connections[i]) || !read_on(&connections[i]);
    }
    for (size_t i = 0; i < connection_count;) {
      if (!connections[i].useless) {
        i++;
        continue;
      }
      drop_with_mates(i);
      i = 0; /* others have taken the places of those that have gone */
    }
    /* From the last to the first, because the last one takes the place of one that goes. */
    for (size_t i = had_starts; i-- > 0;) {
      if (polled[first + 2 * i + 1].revents != 0) {
        kill(starts[i].runtime, SIGKILL);
        starts[i].killed = true;
      }
      if (polled[first + 2 * i].revents != 0) finish(&starter, i);
    }
    pausing = !take_connections(starter.sockets);
    begin_complete(&starter);
  }
}
