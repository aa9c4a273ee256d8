/* The connections on which requests to start containers come (start.c): what was read of each so far. */
#ifndef BABELHOST_CONNECTIONS_H
#define BABELHOST_CONNECTIONS_H

#include "protocol.h"

#include <stdbool.h>
#include <stddef.h>

enum {
  MOST_CONNECTIONS = 4096,
  MOST_REQUEST = 16 * 1024 * 1024,
};

/* A connection whose request is not complete, or waits for the others that belong to it (its siblings: of the same id). */
struct connection {
  int fd;
  /* Those that came before it have lower ones. */
  unsigned long long order;
  size_t have, want;
  unsigned strings, content;
  char header[HEADER_LENGTH + 1];
  char *body;
  bool useless, refused;
};

extern struct connection connections[MOST_CONNECTIONS];
extern size_t connection_count;

/* KIND_UNKNOWN until that much of its header is there. */
enum connection_kind kind_of(const struct connection *connection);
/* Which descriptor it becomes in the container's process; -1 for a request. */
int descriptor_of(const struct connection *connection);
/* Whether all of it is there. */
bool is_complete(const struct connection *connection);
/* Reads on. False if the connection is of no use anymore. */
bool read_on(struct connection *connection);
/* Takes the connections that wait on the socket. Returns 0, or the errno where that is impossible for now. */
int take_connections(int sockets);
/*
 * For when connections cannot be taken because of `error`, and no job is at work whose end would change that. Refuses the
 * complete requests. If there are none, takes one more connection with the reserved descriptor: the request, which is
 * refused the next time, or one that belongs to it.
 */
void refuse_connections(int sockets, int error);
/* Writes to a starter's channel why nothing was started. */
void refuse(int channel, int error, const char *step);
/* The last connection takes the place of one that goes. forget_connection() leaves its descriptor open. */
void forget_connection(size_t index);
void drop_connection(size_t index);
/* Drops one with those that belong to it, which are of no use without it. */
void drop_with_siblings(size_t index);

#endif
