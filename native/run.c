/*
 * bootstrap run: executes an OCI runtime in the namespaces of the host's guard, for one container.
 *
 *   run [--user-namespace] [--set-groups] [--join CGROUP]… [--stage DIR --rootfs DIR --pid-file FILE]
 *       [--layer DIR [--owner ID]] -- RUNTIME ARG…
 *
 * File descriptors: 3 is the guard's folder in /proc (a descriptor, because a process id may be reused); 4 is the
 * container's control channel, whose other end the host has. With --rootfs a container is started: 5, 6 and 7 are its
 * stdin, stdout and stderr, the runtime gets them as its own, and the control channel as its descriptor 3. The
 * container inherits them, so no process stands between it and the host. Afterwards "process HOST GUARD" is written to
 * the control channel: the id of the container's process 1 as the host and as the guard's namespace have it (HOST is 0
 * if it has ended already).
 *
 * With --layer, the root file system can be written to: an overlay whose upper and work folders are DIR/upper and
 * DIR/work. --owner, in a user namespace, is its id of the container's root, who is given the image's folders.
 *
 * When the host closes its end of the control channel, or dies, the runtime is killed and this process ends. Exit
 * status: the runtime's.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GUARD = 3, CONTROL = 4, DRIVER_STDIN = 5, DRIVER_STDOUT = 6, DRIVER_STDERR = 7, FIRST_FREE = 8 };

/* What the runtime finds: the driver's stdio, the control channel (its --preserve-fds 1), and our stderr till exec. */
enum { RUNTIME_CONTROL = 3, SAVED_STDERR = 4 };

enum { MOST_CGROUPS = 16 };

struct options {
  bool user_namespace, set_groups;
  const char *stage, *rootfs, *pid_file, *layer;
  uid_t owner;
  int joined[MOST_CGROUPS];
  size_t joined_count;
  char **runtime;
};

/* Opened before the namespaces are entered: there, /sys/fs/cgroup may show something else. */
static int open_cgroup(const char *path) {
  char file[4096];
  snprintf(file, sizeof file, "%s/cgroup.procs", path);
  int fd = open(file, O_WRONLY | O_CLOEXEC);
  if (fd < 0) fail("cannot open %s", file);
  return fd;
}

static struct options parse_options(char **arguments) {
  struct options options = {0};
  for (;; arguments++) {
    const char *option = *arguments;
    if (option == NULL) fail_usage("run needs -- and the runtime's command line");
    if (strcmp(option, "--") == 0) break;
    if (strcmp(option, "--user-namespace") == 0) {
      options.user_namespace = true;
    } else if (strcmp(option, "--set-groups") == 0) {
      options.set_groups = true;
    } else if (strcmp(option, "--stage") == 0) {
      options.stage = option_value(&arguments);
    } else if (strcmp(option, "--rootfs") == 0) {
      options.rootfs = option_value(&arguments);
    } else if (strcmp(option, "--pid-file") == 0) {
      options.pid_file = option_value(&arguments);
    } else if (strcmp(option, "--layer") == 0) {
      options.layer = option_value(&arguments);
    } else if (strcmp(option, "--owner") == 0) {
      options.owner = (uid_t)parse_number(option_value(&arguments), 1, INT_MAX, option);
    } else if (strcmp(option, "--join") == 0 && options.joined_count < MOST_CGROUPS) {
      options.joined[options.joined_count++] = open_cgroup(option_value(&arguments));
    } else {
      fail_usage("run does not know the option %s", option);
    }
  }
  options.runtime = arguments + 1;
  if (*options.runtime == NULL) fail_usage("run needs the runtime's command line after --");
  if ((options.rootfs != NULL) != (options.stage != NULL) || (options.rootfs != NULL) != (options.pid_file != NULL)) {
    fail_usage("--stage, --rootfs and --pid-file go together");
  }
  if (options.layer != NULL && options.rootfs == NULL) fail_usage("--layer goes with --rootfs");
  return options;
}

static void enter(const char *namespace, int kind) {
  char name[16];
  snprintf(name, sizeof name, "ns/%s", namespace);
  int fd = openat(GUARD, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("cannot open the guard's %s namespace", namespace);
  if (setns(fd, kind) != 0) fail("cannot enter the guard's %s namespace", namespace);
  close(fd);
}

/* The flags of a mount, as mount(2) takes them. In a user namespace they are locked: a remount must repeat them. */
static unsigned long mount_flags(const char *path) {
  struct statvfs status;
  if (statvfs(path, &status) != 0) fail("cannot examine the mount of %s", path);
  const unsigned long same = ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME;
  return (status.f_flag & same) | (status.f_flag & ST_RELATIME ? MS_RELATIME : 0);
}

/*
 * Binds the root file system where the container's root can reach it, in a mount namespace that ends with the runtime:
 * the container has its own copy by then, so nothing is left to unmount and containers do not see each other's.
 * Read-only from here on, or the runtime would make missing mount points and working folders in the shared image.
 */
static void bind_rootfs(const struct options *options) {
  char target[4096];
  snprintf(target, sizeof target, "%s/rootfs", options->stage);
  if (unshare(CLONE_NEWNS) != 0) fail("cannot make a mount namespace");
  if (mount(options->rootfs, target, NULL, MS_BIND, NULL) != 0) fail("cannot bind %s on %s", options->rootfs, target);
  unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | mount_flags(target);
  if (mount(NULL, target, NULL, flags, NULL) != 0) fail("cannot make %s read-only", target);
}

static uid_t new_owner;

static int give_folder(const char *path, const struct stat *status, int kind, struct FTW *place) {
  (void)place;
  if (kind != FTW_DP || status->st_uid != 0) return 0;
  return lchown(path, new_owner, new_owner);
}

static int open_part(const char *layer, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", layer, name);
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("cannot open %s", path);
  return fd;
}

/*
 * As bind_rootfs, with a writable layer above. The folders are named by descriptor, because names would have to be
 * escaped in the options. In a user namespace, overlay may not use trusted.* attributes (overlayfs.rst, userxattr).
 */
static void mount_overlay(const struct options *options) {
  char target[4096], choices[256];
  snprintf(target, sizeof target, "%s/rootfs", options->stage);
  if (unshare(CLONE_NEWNS) != 0) fail("cannot make a mount namespace");
  int lower = open(options->rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lower < 0) fail("cannot open %s", options->rootfs);
  int upper = open_part(options->layer, "upper"), work = open_part(options->layer, "work");
  snprintf(choices, sizeof choices, "lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d%s",
           lower, upper, work, options->user_namespace ? ",userxattr" : "");
  if (mount("overlay", target, "overlay", MS_NOSUID | MS_NODEV, choices) != 0) {
    fail("cannot mount an overlay with the writable layer %s", options->layer);
  }
  if (options->owner == 0) return;
  /*
   * The image's files belong to id 0 of this namespace, which the container does not have. Its root gets the folders,
   * so that it can add, replace and remove files; not the files, which would all be copied. Itself last, which tells
   * the next start that this was done.
   */
  struct stat status;
  if (stat(target, &status) != 0) fail("cannot examine %s", target);
  if (status.st_uid == options->owner) return;
  new_owner = options->owner;
  if (nftw(target, give_folder, 64, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0) fail("cannot give the folders to the container");
}

static void move_descriptor(int from, int to, int flags) {
  if (dup3(from, to, flags) < 0) fail("cannot move file descriptor %d to %d", from, to);
}

_Noreturn static void execute_runtime(const struct options *options, int lifeline) {
  for (size_t i = 0; i < options->joined_count; i++) {
    if (!write_all(options->joined[i], "0\n", 2)) fail("cannot join a cgroup");
  }
  if (options->layer != NULL) {
    mount_overlay(options);
  } else if (options->rootfs != NULL) {
    bind_rootfs(options);
  }
  die_with_parent(lifeline);
  if (options->rootfs != NULL) {
    move_descriptor(CONTROL, RUNTIME_CONTROL, 0);
    move_descriptor(STDERR_FILENO, SAVED_STDERR, O_CLOEXEC);
    complaints = SAVED_STDERR;
    move_descriptor(DRIVER_STDIN, STDIN_FILENO, 0);
    move_descriptor(DRIVER_STDOUT, STDOUT_FILENO, 0);
    move_descriptor(DRIVER_STDERR, STDERR_FILENO, 0);
    close_from(SAVED_STDERR + 1);
  } else {
    close_from(STDERR_FILENO + 1);
  }
  execvp(options->runtime[0], options->runtime);
  fail("cannot execute %s", options->runtime[0]);
}

/*
 * Waits for the runtime's end, and kills it if the control channel ends first. Not left to PR_SET_PDEATHSIG alone: were
 * this process to die first, its dead child would wait for some process 1 to reap it, and the guard's namespace cannot
 * end before that; in a container, process 1 often reaps late or never.
 */
static int wait_for_runtime(pid_t runtime) {
  int pidfd = open_pidfd(runtime);
  struct pollfd polled[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = CONTROL, .events = POLLRDHUP}};
  for (;;) {
    if (poll(polled, 2, -1) < 0) {
      if (errno == EINTR) continue;
      fail("cannot wait for the runtime");
    }
    if (polled[0].revents != 0) break;
    if (polled[1].revents != 0) {
      kill(runtime, SIGKILL);
      break;
    }
  }
  close(pidfd);
  return exit_status_of(wait_for(runtime));
}

static pid_t read_pid_file(const char *path) {
  char text[32] = {0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) fail("cannot read %s", path);
  close(fd);
  return atoi(text);
}

/*
 * The host's id of a process of the guard's namespace. A pidfd is opened in that namespace (by a child: the pid
 * namespace of a process never changes, only that of its children), and its fdinfo, read through the host's /proc,
 * has the id there (proc_pid_fdinfo(5)).
 */
static void report_process(int host_proc, pid_t process) {
  char path[64], line[128];
  int host_id = 0;
  int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
  if (pidfd < 0 && errno != ESRCH) fail("cannot watch process %d of the guard's namespace", process);
  if (pidfd >= 0) {
    snprintf(path, sizeof path, "self/fdinfo/%d", pidfd);
    int fd = openat(host_proc, path, O_RDONLY | O_CLOEXEC);
    FILE *info = fd < 0 ? NULL : fdopen(fd, "r");
    if (info == NULL) fail("cannot read /proc/%s", path);
    while (fgets(line, sizeof line, info) != NULL) {
      if (sscanf(line, "Pid: %d", &host_id) == 1) break;
    }
    if (host_id < 0) host_id = 0;
  }
  if (!write_line(CONTROL, "process %d %d\n", host_id, process)) fail("cannot report the container's process");
  _exit(0);
}

int run_main(char **arguments) {
  struct options options = parse_options(arguments);
  int host_proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (host_proc < 0) fail("cannot open /proc");
  if (options.user_namespace) enter("user", CLONE_NEWUSER);
  enter("mnt", CLONE_NEWNS);
  enter("pid", CLONE_NEWPID);
  if (options.user_namespace) become_root_inside(options.set_groups);

  int lifeline[2];
  if (pipe2(lifeline, O_CLOEXEC) != 0) fail("cannot make a pipe");
  pid_t runtime = fork_or_fail("execute the runtime");
  if (runtime == 0) {
    close(lifeline[1]);
    execute_runtime(&options, lifeline[0]);
  }
  int status = wait_for_runtime(runtime);
  if (status == 0 && options.rootfs != NULL) {
    pid_t process = read_pid_file(options.pid_file);
    pid_t reporter = fork_or_fail("report the container's process");
    if (reporter == 0) report_process(host_proc, process);
    status = exit_status_of(wait_for(reporter));
  }
  return status;
}
