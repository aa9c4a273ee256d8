/* What the faces of the bootstrap share: how it fails, and the few steps that need care every time. */
#ifndef BABELHOST_BOOTSTRAP_H
#define BABELHOST_BOOTSTRAP_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Exit statuses of our own. A runtime's or a driver's status passes through unchanged. */
enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOT_EXECUTED = 127, EXIT_SIGNALED = 128 };

/* The faces: each takes the arguments after its name (NULL at the end) and returns an exit status. */
int guard_main(char **arguments);
int run_main(char **arguments);
int init_main(char **arguments);
int lock_main(char **arguments);
int put_main(char **arguments);
int get_main(char **arguments);
int remove_main(char **arguments);
int measure_main(char **arguments);

/*
 * Writes "bootstrap: MESSAGE (ERRNAME): what the errno means" to stderr and exits with EXIT_FAILED. The host takes the
 * name of the errno from between the parentheses, so the form of this line is part of the interface.
 */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same line, for a fault after which there is still something to do. */
void complain_of(const char *step);

/* The same for a fault that has no errno. */
_Noreturn void fail_plainly(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for wrong usage, with EXIT_USAGE. */
_Noreturn void fail_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Where the above write: stderr, until a face gives its stderr away. */
extern int complaints;

/*
 * Asks the kernel to SIGKILL this process when its parent dies. The parent holds the other end of `lifeline` (a pipe
 * or socket): if that has hung up, the parent died before the kernel was asked, and this process exits at once.
 * getppid() could not tell: it is 0 where the parent is outside our pid namespace. Must come after every change of
 * credentials, setns(2) included, because those clear the request (prctl(2)).
 */
void die_with_parent(int lifeline);

/* fork(2), checked. `purpose` completes "cannot fork to …". */
pid_t fork_or_fail(const char *purpose);

/* Waits for one child, through interruptions. Returns its wait status. */
int wait_for(pid_t child);

/* The exit status that stands for a wait status: the status itself, or EXIT_SIGNALED + signal. */
int exit_status_of(int wait_status);

/* A file descriptor that becomes readable when `process` ends. */
int open_pidfd(pid_t process);

/* write(2) of all of it, through interruptions and short writes. False, with errno, if that is impossible. */
bool write_all(int fd, const char *bytes, size_t length);

/* Formats one short line and writes it in one write(2), so that lines of several writers do not mix. */
bool write_line(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Parses a decimal number between `least` and `most`, or fails with EXIT_USAGE naming `what`. */
long parse_number(const char *text, long least, long most, const char *what);

/* The value that follows an option: steps `arguments` on, or fails with EXIT_USAGE. */
const char *option_value(char ***arguments);

/* Closes every file descriptor from `first` on. */
void close_from(unsigned first);

/* stage.c */
/* Mounts the stage, for what the runtime is to mount, on the folder `stage`. `owner` is the id of the containers' root. */
void make_stage(const char *stage, uid_t owner);
/* Mounts a file system in memory on the host's folder, for its containers' bundles and the runtime's state. */
void make_bundles(const char *directory, const char *name);

/* ids.c */
/* Ids outside a user namespace, FIRST:COUNT; none if count is 0. */
struct id_range {
  unsigned first, count;
};
struct id_range parse_range(const char *text);
/*
 * Gives the user namespace of `child` its ids: 0 is our own effective id, and 1 onwards are `uids` and `gids`. Without
 * ranges, 0 is all there is.
 */
void map_ids(pid_t child, struct id_range uids, struct id_range gids);
/* A user namespace that maps `ids` to those from `to` on, and 0 to itself, for mounts to be shifted by. A descriptor. */
int make_id_map(struct id_range ids, unsigned to);
/* Becomes id 0 of the user namespace that we are in; drops the supplementary groups where that is allowed. */
void become_root_inside(bool may_set_groups);

/* rootfs.c */
/* A container's root file system, and how it is to be mounted. */
struct root {
  const char *rootfs;
  /* The folder with what it writes, in upper/ and work/; NULL for one that is read-only. */
  const char *layer;
  /* In a user namespace: the container's root, who is given the image's folders where they can be written; or 0. */
  uid_t owner;
  /* The ids that files have on disk, and the first of those that they are to have instead; none if count is 0. */
  struct id_range ids;
  unsigned shifted;
  /* Whether STAGE/init is to be shifted, too. */
  bool shifts_init;
  /* Bound instead of overlaid, where no overlay can be mounted. */
  bool bound;
  /* Whether we are in a user namespace. */
  bool user_namespace;
};
/* Mounts it on STAGE/rootfs, in a mount namespace of its own, which this makes. */
void mount_root(const struct root *root, const char *stage);

/* probe.c */
/*
 * Tries to mount a root, and writes to stdout what cannot be: "lacks ids REASON", where that is to shift its ids, and
 * "lacks overlay REASON".
 */
void tell_lacks(struct root root, const char *stage);

/* process.c */
/* A process of a container: its ids for the host (0 if it has ended) and in the guard's namespace, and when it began. */
struct identity {
  pid_t host, guard;
  unsigned long long start;
};
/* The process id that a runtime has written to a file; -1, with errno, if there is none. */
pid_t read_pid_file(const char *path);
/* Finds out about a process of our namespace. False, with errno, if that is impossible; one that is gone is no fault. */
bool identify(int host_proc, pid_t process, struct identity *identity);
/*
 * SIGKILL for a process of our namespace with its children, and for no other that has one of their ids by now. False,
 * with errno, if it cannot be ended; one that is gone is no fault.
 */
bool kill_identified(pid_t process, unsigned long long start);

/* start.c and request.c */
/* A cgroup in which there are containers' cgroups, opened before the guard mounted anything. */
struct cgroup_parent {
  char *path;
  size_t length;
  int fd;
};
/* What the starter has from the guard. */
struct starter {
  const char *stage;
  bool user_namespace, shifts_init;
  /* The socket that requests come on, and the host's /proc. */
  int sockets, host_proc;
  struct cgroup_parent *cgroups;
  size_t cgroup_count;
};
/* Descriptors below this one are given to what the starter starts. */
enum { FIRST_OWN_DESCRIPTOR = 5, GIVEN_DESCRIPTORS = 4 };
struct request {
  /* The starter's channel, and what the container's process has: stdin, stdout, stderr and its own channel. */
  int channel, given[GIVEN_DESCRIPTORS];
  char **arguments;
  const char *content;
  size_t content_length;
};
/* Starts containers on request, without end. */
_Noreturn void start_containers(struct starter starter);
/* Does what the request asks for, and becomes the runtime. */
_Noreturn void serve_request(const struct starter *starter, const struct request *request);

/* remove.c */
/* Removes a folder and all in it, without following links. What is not there is no fault; others go to stderr. */
void remove_folder(int parent, const char *name);
/* Opens a folder in an open one. Fails, with errno, for a link and for what is mounted there. */
int open_inside(int parent, const char *name);
/* Whether an entry of an open folder is a folder: 1 or 0; -1, with errno, if that cannot be found out. */
int is_folder(int parent, const struct dirent *entry);
/* Whether a name is one that every folder has. */
bool is_dots(const char *name);

/* remove-cgroup.c */
/* Removes an empty cgroup and the empty cgroups in it, waiting up to `patience` milliseconds for what still ends. */
void remove_cgroup(const char *path, int patience);

/* socket-cleanup.c */
/* Removes the socket that is noted in a host's folder, if it is still the one that the host made. */
void remove_dead_socket(int folder);

/* claim.c */
/*
 * Makes the folder `name` in `directory` and locks it for as long as the returned descriptor is open, and notes in it
 * which cgroups belong to it. Whoever can lock such a folder knows that its owner is gone.
 */
int claim_folder(int directory, const char *name, char *const *cgroups, size_t cgroup_count);
/* Removes the folders in `directory` whose owners are gone, with the cgroups noted in them. */
void sweep_folders(int directory);

#endif
