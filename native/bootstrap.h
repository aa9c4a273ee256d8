/* What the faces of the bootstrap share: how it fails, and the few system calls that need care every time. */
#ifndef BABELHOST_BOOTSTRAP_H
#define BABELHOST_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Exit statuses of our own. A runtime's or a driver's status passes through unchanged. */
enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* The faces: each takes the arguments after its name (NULL at the end) and returns an exit status. */
int guard_main(char **arguments);
int run_main(char **arguments);
int init_main(char **arguments);
int lock_main(char **arguments);

/*
 * Writes "bootstrap: MESSAGE (ERRNAME): what the errno means" to stderr and exits with EXIT_FAILED. The host takes the
 * name of the errno from between the parentheses, so the form of this line is part of the interface.
 */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for wrong usage: no errno, EXIT_USAGE. */
_Noreturn void fail_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Asks the kernel to SIGKILL this process when its parent dies, and exits at once if `parent` is gone already. */
void die_with_parent(pid_t parent);

/* Waits for one child, through interruptions. Returns its wait status. */
int wait_for(pid_t child);

/* write(2) of all of it, through interruptions and short writes. False, with errno, if that is impossible. */
bool write_all(int fd, const char *bytes, size_t length);

#endif
