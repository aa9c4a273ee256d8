/*
 * The starter: the process of the guard that starts containers, in the guard's namespaces. It is small, so that a fork
 * of it costs little; a fork of the host, with its heap, costs more than all that the bootstrap does. It takes requests
 * on a socket in the host's folder, where nobody but the host can connect.
 *
 * Five connections make one start (protocol.h): the starter's channel, with the request, and what the container's process
 * is to have as its descriptors 0 to 3, the last of which is the container's channel (init/init.c). After the header
 * those are the process's own: no process stands between it and the host.
 *
 * No process of a container ever has the starter's channel, so that only the starter can write to it: "process HOST GUARD
 * START" once the runtime has done its work, the id of the container's process 1 as the host and as the guard's namespace
 * have it (HOST is 0 if it has ended already), and when it began; else complaints, and "ended STATUS", the runtime's
 * status. The channel ends with the start. When the host closes its end before that, the runtime is killed.
 */
#define _GNU_SOURCE
#include "bootstrap.h"
#include "connections.h"
#include "runtime-jobs.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

/* Every so many ms the starter checks for free descriptors, or for a late job: there is no event for either. */
enum { PAUSE = 50 };

/* The strings of a request, ended by NULL; NULL without memory, or if the last one has no end. */
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

/* Finds the connections that belong to the starter's channel at `index`. False if some are still to come. */
static bool find_siblings(size_t index, struct request *request) {
  const struct connection *channel = &connections[index];
  size_t found = 0;
  *request = (struct request){.channel = channel->fd, .given = {-1, -1, -1, -1}};
  for (size_t i = 0; i < connection_count; i++) {
    const struct connection *other = &connections[i];
    if (i == index || !is_complete(other) || memcmp(other->header, channel->header, ID_LENGTH) != 0) continue;
    if (descriptor_of(other) < 0) continue;
    int *given = &request->given[descriptor_of(other)];
    found += *given < 0;
    *given = other->fd;
  }
  return found == GIVEN_DESCRIPTORS;
}

/* Begins the start whose channel is at `index`, which takes over that connection and its siblings. */
static void begin_request(const struct starter *starter, size_t index, struct request *request) {
  const struct connection *channel = &connections[index];
  request->arguments = split(channel->body, channel->strings);
  request->content = channel->body + channel->strings;
  request->content_length = channel->content;
  begin_job(starter, request);
  free(request->arguments);
  forget_connection(index);
  for (size_t given = 0; given < GIVEN_DESCRIPTORS; given++) {
    for (size_t i = connection_count; i-- > 0;) {
      if (connections[i].fd == request->given[given]) drop_connection(i);
    }
  }
}

/* Begins complete requests, oldest first. False if requests may have to wait. */
static bool begin_complete(const struct starter *starter) {
  while (!jobs_are_full()) {
    struct request request, oldest_request = {0};
    size_t oldest = connection_count;
    for (size_t i = 0; i < connection_count; i++) {
      if (kind_of(&connections[i]) != KIND_START || !is_complete(&connections[i]) || connections[i].refused) continue;
      if (oldest < connection_count && connections[oldest].order < connections[i].order) continue;
      if (!find_siblings(i, &request)) continue;
      oldest = i;
      oldest_request = request;
    }
    if (oldest == connection_count) return true;
    begin_request(starter, oldest, &oldest_request);
  }
  return false;
}

/* Serves the requests to kill a process. */
static void kill_asked(void) {
  for (size_t i = connection_count; i-- > 0;) {
    if (kind_of(&connections[i]) != KIND_KILL || !is_complete(&connections[i])) continue;
    int process;
    unsigned long long start;
    cleanup_free char **arguments = split(connections[i].body, connections[i].strings);
    bool whole = arguments != NULL && arguments[0] != NULL && arguments[1] != NULL &&
                 sscanf(arguments[0], "%d", &process) == 1 && sscanf(arguments[1], "%llu", &start) == 1;
    if (!whole || !kill_identified(process, start)) {
      complain(STDERR_FILENO, whole ? errno : EINVAL, "cannot kill a container's process");
    }
    drop_connection(i);
  }
}

/* Fills `polled`: the socket for new connections, the jobs with their channels, the connections. */
static size_t list_polled(struct pollfd *polled, int sockets) {
  size_t count = 0;
  polled[count++] = (struct pollfd){.fd = connection_count < MOST_CONNECTIONS ? sockets : -1, .events = POLLIN};
  for (size_t i = 0; i < job_count; i++) {
    polled[count++] = (struct pollfd){.fd = jobs[i].pidfd, .events = POLLIN};
    polled[count++] = (struct pollfd){.fd = jobs[i].killed ? -1 : jobs[i].channel, .events = POLLRDHUP};
  }
  for (size_t i = 0; i < connection_count; i++) {
    /* A complete one is watched for its end only: half of it for channels, all of it for the others, as stdin may end. */
    short half = kind_of(&connections[i]) == KIND_START || kind_of(&connections[i]) == KIND_CHANNEL ? POLLRDHUP : 0;
    short events = is_complete(&connections[i]) ? half : POLLIN;
    polled[count++] = (struct pollfd){.fd = connections[i].fd, .events = events};
  }
  return count;
}

/* Moves a descriptor of ours above those that a container's process is given. */
static int move_up(int fd) {
  int moved = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OWN_DESCRIPTOR);
  if (moved < 0) fail("cannot move a file descriptor");
  return moved;
}

_Noreturn void start_containers(struct starter starter) {
  static struct pollfd polled[1 + 2 * MOST_JOBS + MOST_CONNECTIONS];
  starter.sockets = move_up(starter.sockets);
  starter.host_proc = move_up(starter.host_proc);
  if (starter.runtime >= 0) starter.runtime = move_up(starter.runtime);
  for (size_t i = 0; i < starter.cgroup_count; i++) starter.cgroups[i].fd = move_up(starter.cgroups[i].fd);
  for (int fd = STDERR_FILENO + 1; fd < FIRST_OWN_DESCRIPTOR; fd++) {
    if (dup3(STDERR_FILENO, fd, O_CLOEXEC) < 0) fail("cannot reserve a file descriptor");
  }
  bool pausing = false, waiting = false;
  for (;;) {
    const size_t count = list_polled(polled, starter.sockets), first = 1, had_jobs = job_count;
    if (pausing) polled[0].fd = -1;
    if (poll(polled, count, pausing || waiting ? PAUSE : -1) < 0 && errno != EINTR) fail("cannot wait for requests");
    for (size_t i = 0; i < connection_count; i++) {
      if (polled[first + 2 * had_jobs + i].revents == 0) continue;
      /* The only event of one that is complete is its end. */
      connections[i].useless = is_complete(&connections[i]) || !read_on(&connections[i]);
    }
    for (size_t i = 0; i < connection_count;) {
      if (!connections[i].useless) {
        i++;
        continue;
      }
      drop_with_siblings(i);
      i = 0; /* others have taken the places of those that have gone */
    }
    /* From the last to the first, because the last one takes the place of one that goes. */
    for (size_t i = had_jobs; i-- > 0;) {
      if (polled[first + 2 * i + 1].revents != 0) {
        kill(jobs[i].runtime, SIGKILL);
        jobs[i].killed = true;
      }
      if (polled[first + 2 * i].revents != 0) finish_job(&starter, i);
    }
    const bool had_paused = pausing;
    const int error = take_connections(starter.sockets);
    pausing = error != 0;
    kill_asked();
    waiting = !begin_complete(&starter);
    if (had_paused && pausing && job_count == 0) refuse_connections(starter.sockets, error);
  }
}
