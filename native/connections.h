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

/* A connection whose request, or whose mates, are still to come. */
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

enum connection_kind kind_of(const struct connection *connection);
/* Which descriptor it becomes in the container's process; -1 for a request. */
int descriptor_of(const struct connection *connection);
/* Whether all of it is there. */
bool is_complete(const struct connection *connection);
/* Reads on. False if the connection is of no use any more. */
bool read_on(struct connection *connection);
/* Takes the connections that wait on the socket. False, with errno, where that is impossible for now. */
bool take_connections(int sockets);
/*
 * For where it is (errno), and nothing is at work whose end would change that: says so to those who wait for their mates,
 * which are among the connections that cannot be taken; or takes one more, in place of a descriptor that was kept for it.
 * That is such a one, or its mate, which goes when that has been told.
 */
void refuse_connections(int sockets);
/* Says on a starter's channel why nothing was started (errno). */
void refuse(int channel, const char *step);
/* These let the last one take the place of one that goes. The first leaves its descriptor open. */
void forget_connection(size_t index);
void drop_connection(size_t index);
/* Drops one without which its mates, which have the same id, are of no use. */
void drop_with_mates(size_t index);

#endif
