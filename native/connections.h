/* The connections on which requests to start containers come (start.c): what was read of each so far. */
#ifndef BABELHOST_CONNECTIONS_H
#define BABELHOST_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum {
  MOST_CONNECTIONS = 4096,
  MOST_REQUEST = 16 * 1024 * 1024,
  ID = 26,
  HEADER = ID + 3 + 8 + 1 + 8 + 1,
};

/* A connection whose request, or whose mates, are still to come. */
struct connection {
  int fd;
  size_t have, want;
  unsigned strings, content;
  char header[HEADER + 1];
  char *body;
  bool useless;
};

extern struct connection connections[MOST_CONNECTIONS];
extern size_t connection_count;

/* What its header says that it is: c, 0, 1 or 2; a zero byte before that is known. */
char kind_of(const struct connection *connection);
/* Whether all of it is there. */
bool is_complete(const struct connection *connection);
/* Reads on. False if the connection is of no use any more. */
bool read_on(struct connection *connection);
/* Takes the connections that wait on the socket. False where that is impossible for now. */
bool take_connections(int sockets);
/* These let the last one take the place of one that goes. The first leaves its descriptor open. */
void forget_connection(size_t index);
void drop_connection(size_t index);
/* Drops one without which its mates, which have the same id, are of no use. */
void drop_with_mates(size_t index);

#endif
