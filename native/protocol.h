/*
 * What each connection to the starter begins with: "ID KIND STRINGS CONTENT\n", then the strings and the content. ID is a
 * ULID, KIND a letter, and the last two are lengths in bytes, padded to eight. src/container/guard/starter-connection.ts has
 * the same table.
 */
#ifndef BABELHOST_PROTOCOL_H
#define BABELHOST_PROTOCOL_H

enum connection_kind {
  /* The header is not there yet. */
  KIND_UNKNOWN = '\0',
  /* Asks for a container or a process in one: the strings are arguments (request.c), the content its configuration. */
  KIND_START = 's',
  /* Asks for a process to be killed: the strings are its id in the guard's namespace, and when it began. */
  KIND_KILL = 'k',
  /* Become the process's descriptors 0 to 3. */
  KIND_STDIN = '0',
  KIND_STDOUT = '1',
  KIND_STDERR = '2',
  KIND_CHANNEL = '3',
};

enum {
  ID_LENGTH = 26,
  LENGTH_DIGITS = 8,
  HEADER_LENGTH = ID_LENGTH + sizeof " k " - 1 + LENGTH_DIGITS + sizeof " " - 1 + LENGTH_DIGITS + sizeof "\n" - 1,
};

#endif
