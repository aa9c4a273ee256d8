/* The connections on which requests to start containers come: accepted, and read without waiting. */
#define _GNU_SOURCE
#include "bootstrap.h"
#include "connections.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

struct connection connections[MOST_CONNECTIONS];
size_t connection_count = 0;

/* A spare descriptor, so that a request can be taken and refused when there is no other. */
static int reserve = -1;

enum connection_kind kind_of(const struct connection *connection) {
  return (enum connection_kind)connection->header[ID_LENGTH + 1];
}

int descriptor_of(const struct connection *connection) {
  const enum connection_kind kind = kind_of(connection);
  return kind >= KIND_STDIN && kind <= KIND_CHANNEL ? (int)(kind - KIND_STDIN) : -1;
}

static bool is_request(const struct connection *connection) {
  return kind_of(connection) == KIND_START || kind_of(connection) == KIND_KILL;
}

void forget_connection(size_t index) {
  free(connections[index].body);
  connections[index] = connections[--connection_count];
}

void drop_connection(size_t index) {
  close(connections[index].fd);
  forget_connection(index);
}

void drop_with_siblings(size_t index) {
  char id[ID_LENGTH];
  bool known = connections[index].have >= HEADER_LENGTH;
  memcpy(id, connections[index].header, ID_LENGTH);
  drop_connection(index);
  for (size_t i = connection_count; known && i-- > 0;) {
    if (connections[i].have >= HEADER_LENGTH && memcmp(connections[i].header, id, ID_LENGTH) == 0) drop_connection(i);
  }
}

/* Parses the header. False if it is invalid. */
static bool read_header(struct connection *connection) {
  connection->header[HEADER_LENGTH] = '\0';
  if (connection->header[ID_LENGTH] != ' ' || !(is_request(connection) || descriptor_of(connection) >= 0)) return false;
  const char *lengths = connection->header + ID_LENGTH + 2;
  if (sscanf(lengths, " %8u %8u\n", &connection->strings, &connection->content) != 2) return false;
  size_t length = (size_t)connection->strings + connection->content;
  if (length > MOST_REQUEST || is_request(connection) != (connection->strings > 0)) return false;
  connection->want = HEADER_LENGTH + length;
  if (length == 0) return true;
  connection->body = malloc(length);
  return connection->body != NULL;
}

bool is_complete(const struct connection *connection) {
  return connection->have == connection->want && connection->have >= HEADER_LENGTH;
}

bool read_on(struct connection *connection) {
  while (!is_complete(connection)) {
    char *target = connection->have < HEADER_LENGTH ? connection->header + connection->have
                                             : connection->body + connection->have - HEADER_LENGTH;
    size_t length = (connection->have < HEADER_LENGTH ? HEADER_LENGTH : connection->want) - connection->have;
    ssize_t count = TEMP_FAILURE_RETRY(recv(connection->fd, target, length, MSG_DONTWAIT));
    if (count < 0) return errno == EAGAIN;
    if (count == 0) return false;
    connection->have += (size_t)count;
    if (connection->have == HEADER_LENGTH && !read_header(connection)) return false;
  }
  return true;
}

static bool take_connection(int sockets) {
  static unsigned long long taken = 0;
  int fd = accept4(sockets, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return false;
  connections[connection_count++] = (struct connection){.fd = fd, .order = taken++, .want = HEADER_LENGTH};
  return true;
}

int take_connections(int sockets) {
  if (reserve < 0) reserve = fcntl(sockets, F_DUPFD_CLOEXEC, FIRST_OWN_DESCRIPTOR);
  while (connection_count < MOST_CONNECTIONS) {
    if (take_connection(sockets) || errno == EINTR || errno == ECONNABORTED) continue;
    return errno == EAGAIN ? 0 : errno;
  }
  return 0;
}

void refuse(int channel, int error, const char *step) {
  complain(channel, error, "%s", step);
  write_line(channel, "ended %d\n", EXIT_FAILED);
}

void refuse_connections(int sockets, int error) {
  bool refused = false;
  for (size_t i = 0; i < connection_count; i++) {
    struct connection *request = &connections[i];
    if (kind_of(request) != KIND_START || !is_complete(request)) continue;
    /* The host closes it then, and its siblings. */
    if (!request->refused) refuse(request->fd, error, "cannot take a connection");
    request->refused = refused = true;
  }
  if (refused || reserve < 0 || connection_count == MOST_CONNECTIONS) return;
  close(steal_fd(&reserve));
  take_connection(sockets);
}
