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
 * Written to the control channel: "process HOST GUARD START" once the runtime has done its work, the id of the container's
 * process 1 as the host and as the guard's namespace have it (HOST is 0 if it has ended already), and when it was started.
 * Else what the bootstrap has to complain of, and "ended STATUS", the runtime's status. When the host closes its end before
 * that, the runtime is killed.
 *
 * A connection of the kind k, with GUARD and START as its arguments, kills that process; nothing is answered.
 */
#define _GNU_SOURCE
#include "bootstrap.h"
#include "connections.h"
#include "starts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What nothing tells of is looked at again after so many ms: whether there are descriptors again, or who is late. */
enum { PAUSE = 50 };

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

/* Finds the connections that belong to the control channel at `index`. False if some are still to come. */
static bool find_mates(size_t index, struct request *request) {
  const struct connection *control = &connections[index];
  *request = (struct request){.control = control->fd, .stdio = {-1, -1, -1}};
  for (size_t i = 0; i < connection_count; i++) {
    const struct connection *other = &connections[i];
    if (i == index || !is_complete(other) || memcmp(other->header, control->header, ID) != 0) continue;
    if (strchr("012", kind_of(other)) != NULL) request->stdio[kind_of(other) - '0'] = other->fd;
  }
  return request->stdio[0] >= 0 && request->stdio[1] >= 0 && request->stdio[2] >= 0;
}

/* Begins the start whose control channel is at `index`; it and its mates are no longer ours then. */
static void begin_request(const struct starter *starter, size_t index, struct request *request) {
  const struct connection *control = &connections[index];
  request->arguments = split(control->body, control->strings);
  request->content = control->body + control->strings;
  request->content_length = control->content;
  begin_start(starter, request);
  free(request->arguments);
  forget_connection(index);
  for (size_t i = connection_count; i-- > 0;) {
    int fd = connections[i].fd;
    if (fd == request->stdio[0] || fd == request->stdio[1] || fd == request->stdio[2]) drop_connection(i);
  }
}

/* Begins what is asked for, oldest first. False if some may have to wait. */
static bool begin_complete(const struct starter *starter) {
  while (!is_busy()) {
    struct request request, oldest_request = {0};
    size_t oldest = connection_count;
    for (size_t i = 0; i < connection_count; i++) {
      if (kind_of(&connections[i]) != 'c' || !is_complete(&connections[i]) || connections[i].refused) continue;
      if (oldest < connection_count && connections[oldest].order < connections[i].order) continue;
      if (!find_mates(i, &request)) continue;
      oldest = i;
      oldest_request = request;
    }
    if (oldest == connection_count) return true;
    begin_request(starter, oldest, &oldest_request);
  }
  return false;
}

/* Does what connections of the kind k ask for. */
static void kill_asked(void) {
  for (size_t i = connection_count; i-- > 0;) {
    if (kind_of(&connections[i]) != 'k' || !is_complete(&connections[i])) continue;
    int process;
    unsigned long long start;
    char **arguments = split(connections[i].body, connections[i].strings);
    bool whole = arguments != NULL && arguments[0] != NULL && arguments[1] != NULL &&
                 sscanf(arguments[0], "%d", &process) == 1 && sscanf(arguments[1], "%llu", &start) == 1;
    if (!whole) errno = EINVAL;
    if (!whole || !kill_identified(process, start)) complain_of("cannot kill a container's process");
    free(arguments);
    drop_connection(i);
  }
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
  bool pausing = false, waiting = false;
  for (;;) {
    const size_t count = list_polled(polled, starter.sockets), first = 1, had_starts = start_count;
    if (pausing) polled[0].fd = -1;
    if (poll(polled, count, pausing || waiting ? PAUSE : -1) < 0 && errno != EINTR) fail("cannot wait for requests");
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
      if (polled[first + 2 * i].revents != 0) finish_start(&starter, i);
    }
    const bool had_paused = pausing;
    pausing = !take_connections(starter.sockets);
    const int cause = errno;
    kill_asked();
    waiting = !begin_complete(&starter);
    errno = cause;
    if (had_paused && pausing && start_count == 0) refuse_connections(starter.sockets);
  }
}
