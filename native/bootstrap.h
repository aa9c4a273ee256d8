/* The functions that the parts of the bootstrap have in common, and those that each offers to the others. */
#ifndef BABELHOST_BOOTSTRAP_H
#define BABELHOST_BOOTSTRAP_H

#include "program.h"

#include <sys/types.h>

/* The commands: each takes the arguments after its name (NULL at the end) and returns an exit status. */
int guard_main(char **arguments);
int run_main(char **arguments);
int lock_main(char **arguments);
int remove_main(char **arguments);
int measure_main(char **arguments);
int hangup_main(char **arguments);

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

/* A file descriptor that becomes readable when `process` ends. */
int open_pidfd(pid_t process);

/* Closes every file descriptor from `first` on. */
void close_from(unsigned first);

/* stage.c */
/*
 * Mounts the stage, for what the runtime is to mount, on the folder `stage`, with a copy of the open file `init`. `owner`
 * is the id of the containers' root.
 */
void make_stage(const char *stage, int init, uid_t owner);
/* Mounts a file system in memory on the host's folder, for its containers' bundles and the runtime's state. */
void make_bundles(const char *directory, const char *name);

/* ids.c */
/* Ids outside a user namespace; none if count is 0. */
struct id_range {
  unsigned first, count;
};
/* Parses FIRST:COUNT, or fails with EXIT_USAGE. */
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
/* A container's root file system, and how to mount it. */
struct root {
  const char *rootfs;
  /* The folder with what it writes, in upper/ and work/; NULL for one that is read-only. */
  const char *layer;
  /* In a user namespace: the container's root, to be given the image's folders where they can be written; or 0. */
  uid_t owner;
  /* The ids that files have on disk, and the first id that they are shifted to; none if count is 0. */
  struct id_range ids;
  unsigned shifted;
  /* Whether STAGE/init is shifted, too. */
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
 * Tries to mount a root, and writes to stdout what the machine lacks: "lacks ids REASON" if ids cannot be shifted,
 * "lacks overlay REASON" if no overlay can be mounted.
 */
void tell_lacks(struct root root, const char *stage);

/* process.c */
/* A process of a container: its ids for the host (0 if it has ended) and in the guard's namespace, and when it began. */
struct identity {
  pid_t host, guard;
  unsigned long long start;
};
/* The process id that a runtime has written to a file; -1, with errno, if that cannot be read. */
pid_t read_pid_file(const char *path);
/* Identifies a process of our namespace. False, with errno, if that fails; all but `guard` is 0 if it is gone. */
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
/* runtime-copy.c */
/*
 * A copy of the runtime in memory that nobody can change, or -1 if it is to be executed by its path. runc and crun copy or
 * remount themselves and start again, so that no container can overwrite them (CVE-2019-5736), unless they are executed
 * from such a copy.
 */
int copy_runtime(const char *path);

/* What the guard gives to the starter. */
struct starter {
  const char *stage;
  bool user_namespace, shifts_init;
  /* The socket that requests come on, the host's /proc, and the copy of the runtime (or -1). */
  int sockets, host_proc, runtime;
  const char *runtime_path;
  struct cgroup_parent *cgroups;
  size_t cgroup_count;
};
/* The descriptors of a container's process; the starter's own are above the three that request.c needs behind these. */
enum { GIVEN_DESCRIPTORS = 4, FIRST_OWN_DESCRIPTOR = 7 };
struct request {
  /* The starter's channel, and what the container's process has: stdin, stdout, stderr and its own channel. */
  int channel, given[GIVEN_DESCRIPTORS];
  char **arguments;
  const char *content;
  size_t content_length;
};
/* Starts containers on request; exits if it cannot go on. */
_Noreturn void start_containers(struct starter starter);
/* Prepares what the request asks for and becomes the runtime, or writes to the request's channel why not and exits. */
_Noreturn void serve_request(const struct starter *starter, const struct request *request);

/* remove.c */
/* Removes a folder and all in it, without following links. Faults go to stderr; it is none if nothing is there. */
void remove_folder(int parent, const char *name);
/* Opens a folder in an open one. Fails, with errno, for a link and for what is mounted there. */
int open_inside(int parent, const char *name);
/* Whether an entry of an open folder is a folder: 1 or 0; -1, with errno, if that cannot be found out. */
int is_folder(int parent, const struct dirent *entry);
/* The entries of an open folder, whose descriptor stays the caller's. NULL, with errno, if they cannot be read. */
DIR *open_entries(int folder);
/* Whether a name is one that every folder has. */
bool is_dots(const char *name);

/* remove-cgroup.c */
/* Removes a cgroup and those in it, waiting up to `patience` ms for processes that still end. Faults go to stderr. */
void remove_cgroup(const char *path, int patience);

/* socket-cleanup.c */
/* Removes the socket that a dead host has noted in its folder, if it still is that host's. Faults go to stderr. */
void remove_dead_socket(int folder);

/* claim.c */
/*
 * Makes the folder `name` in `directory`, locks it for as long as the returned descriptor is open, and lists in it the
 * cgroups that belong to it. Fails if any of that is impossible.
 */
int claim_folder(int directory, const char *name, char *const *cgroups, size_t cgroup_count);
/* Removes the folders in `directory` whose owners are gone, with the cgroups listed in them. */
void sweep_folders(int directory);

#endif
