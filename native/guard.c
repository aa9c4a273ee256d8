/*
 * bootstrap guard: one for each host. It makes the namespaces that all containers of the host are started in, so that
 * the kernel ends them all when it ends, and it outlives the host just long enough to remove what the host leaves.
 *
 *   guard --directory DIR --name NAME --stage DIR [--cgroup2 DIR] [--cgroup DIR]…
 *         [--user-namespace [--uids FIRST:COUNT --gids FIRST:COUNT]]
 *
 * Two processes. The keeper (G in the comments) stays outside, holds the host's lifeline on stdin and waits for its
 * end. The reaper (P) is process 1 of a pid namespace: whatever is started in that namespace, a half-made `runc init`
 * included, is killed by the kernel when P ends, and P ends with G. The mounts go with P's mount namespace.
 *
 * On stdout: "guard PID" (P as the host sees it), "ready", then "exited PID STATUS" for each orphan that P reaps: PID
 * as seen in P's namespace, STATUS as from wait(2). Process 1 of a container is such an orphan.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  MOST_CGROUPS = 32,
  CGROUP_PATIENCE_MS = 2000,
};

struct options {
  const char *directory, *name, *stage, *cgroup2;
  char *cgroups[MOST_CGROUPS];
  size_t cgroup_count;
  bool user_namespace;
  struct id_range uids, gids;
};

static struct options parse_options(char **arguments) {
  struct options options = {0};
  for (; *arguments != NULL; arguments++) {
    const char *option = *arguments;
    if (strcmp(option, "--user-namespace") == 0) {
      options.user_namespace = true;
      continue;
    }
    const char *value = option_value(&arguments);
    if (strcmp(option, "--directory") == 0) {
      options.directory = value;
    } else if (strcmp(option, "--name") == 0) {
      options.name = value;
    } else if (strcmp(option, "--stage") == 0) {
      options.stage = value;
    } else if (strcmp(option, "--cgroup2") == 0) {
      options.cgroup2 = value;
    } else if (strcmp(option, "--uids") == 0) {
      options.uids = parse_range(value);
    } else if (strcmp(option, "--gids") == 0) {
      options.gids = parse_range(value);
    } else if (strcmp(option, "--cgroup") == 0 && options.cgroup_count < MOST_CGROUPS) {
      options.cgroups[options.cgroup_count++] = (char *)value;
    } else {
      fail_usage("guard does not know the option %s %s", option, value);
    }
  }
  if (options.directory == NULL || options.name == NULL || options.stage == NULL) {
    fail_usage("guard needs --directory, --name and --stage");
  }
  if ((options.uids.count == 0) != (options.gids.count == 0)) fail_usage("--uids and --gids go together");
  return options;
}

/*
 * The stage: a small tmpfs in P's mount namespace, on a folder that everybody can reach. A container's root is an
 * unprivileged id that may not search the folders above the image store or above this program, and the runtime's
 * mounts are made with that id; so what the runtime is to mount is put here first. `rootfs` is a place that
 * `bootstrap run` binds on in a mount namespace of its own. `init` is a copy of this program and not a bind of it: the
 * program's file may have been replaced or removed since it was executed, and what has no name cannot be bound.
 */
static void make_stage(const char *stage) {
  int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (program < 0 || fstat(program, &status) != 0) fail("cannot open this program");
  char choices[64];
  snprintf(choices, sizeof choices, "size=%ldk,nr_inodes=16,mode=0755", status.st_size / 1024 + 64);
  if (mount("tmpfs", stage, "tmpfs", MS_NOSUID | MS_NODEV, choices) != 0) fail("cannot mount a tmpfs on %s", stage);
  int fd = open(stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("cannot open %s", stage);
  if (mkdirat(fd, "rootfs", 0755) != 0) fail("cannot make %s/rootfs", stage);
  int target = openat(fd, "init", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
  if (target < 0) fail("cannot make %s/init", stage);
  for (off_t copied = 0; copied < status.st_size;) {
    ssize_t length = sendfile(target, program, &copied, (size_t)(status.st_size - copied));
    if (length < 0) fail("cannot copy this program to %s/init", stage);
    if (length == 0) fail_plainly("cannot copy this program to %s/init: its file is shorter than it was", stage);
  }
  close(target);
  close(program);
  close(fd);
  /* Every container has it: nobody may change it from here on. */
  if (mount(NULL, stage, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) != 0) {
    fail("cannot make %s read-only", stage);
  }
}

static void set_up_mounts(const struct options *options) {
  /* Slave: what the host mounts later is seen here, what is mounted here is not seen there. */
  if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) != 0) fail("cannot detach the mount namespace from the host's");
  make_stage(options->stage);
  if (options->cgroup2 != NULL && mount(options->cgroup2, "/sys/fs/cgroup", NULL, MS_BIND | MS_REC, NULL) != 0) {
    fail("cannot bind %s on /sys/fs/cgroup", options->cgroup2);
  }
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0) fail("cannot mount a fresh /proc");
}

/* P, once everything is in place: reaps until it is killed. */
_Noreturn static void reap_orphans(void) {
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &awaited, NULL) != 0) fail("cannot block SIGCHLD");
  if (!write_line(STDOUT_FILENO, "ready\n")) fail("cannot say that the guard is ready");
  for (;;) {
    int status;
    pid_t child = waitpid(-1, &status, WNOHANG);
    if (child > 0) {
      /* If nobody reads any more the host is gone, and so shall we be. */
      write_line(STDOUT_FILENO, "exited %d %d\n", child, status);
    } else if (child == 0 || errno == ECHILD) {
      sigwaitinfo(&awaited, NULL);
    } else if (errno != EINTR) {
      fail("cannot reap");
    }
  }
}

_Noreturn static void be_reaper(const struct options *options, int go) {
  char byte;
  ssize_t length = read(go, &byte, 1);
  if (length < 0) fail("cannot wait for the keeper");
  if (length == 0) _exit(EXIT_FAILED); /* it died, or has said why it gave up */
  if (options->user_namespace) become_root_inside(options->uids.count > 0);
  die_with_parent(go);
  set_up_mounts(options);
  /* The lifeline is G's alone, and so is the folder's lock. */
  if (dup3(go, STDIN_FILENO, 0) < 0) fail("cannot let go of stdin");
  close_from(STDERR_FILENO + 1);
  reap_orphans();
}

/* fork(2) into new namespaces: the child is process 1 of its pid namespace. */
static pid_t fork_into(unsigned long namespaces) {
  pid_t child = (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, NULL, NULL, NULL, NULL);
  if (child < 0) fail("cannot make %s", namespaces & CLONE_NEWUSER ? "a user namespace" : "a pid and mount namespace");
  return child;
}

/* Waits until stdin has ended or the process behind `pidfd` has. True if it was stdin. */
static bool wait_for_end(int pidfd) {
  struct pollfd polled[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
  char discarded[64];
  for (;;) {
    if (poll(polled, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return true;
    }
    if (polled[1].revents != 0) return false;
    if (polled[0].revents == 0) continue;
    ssize_t length = read(STDIN_FILENO, discarded, sizeof discarded);
    if (length == 0 || (length < 0 && errno != EINTR && errno != EAGAIN)) return true;
  }
}

static void ignore_signals(void) {
  const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGTSTP};
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) {
    if (signal(ignored[i], SIG_IGN) == SIG_ERR) fail("cannot ignore signal %d", ignored[i]);
  }
}

int guard_main(char **arguments) {
  struct options options = parse_options(arguments);
  close_from(STDERR_FILENO + 1);
  ignore_signals();
  /* Away from the host's terminal and its job control; EPERM where the host has seen to it already. */
  if (setsid() < 0 && errno != EPERM) fail("cannot make a session");
  int directory = open(options.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) fail("cannot open %s", options.directory);
  /* Not to stand in the way of an unmount of the folder that the host was started in. */
  if (chdir("/") != 0) fail("cannot change to the root folder");

  int go[2];
  if (pipe2(go, O_CLOEXEC) != 0) fail("cannot make a pipe");
  unsigned long namespaces = CLONE_NEWNS | CLONE_NEWPID;
  if (options.user_namespace) namespaces |= CLONE_NEWUSER;
  pid_t reaper = fork_into(namespaces);
  if (reaper == 0) {
    close(go[1]);
    be_reaper(&options, go[0]);
  }
  int pidfd = open_pidfd(reaper);
  if (options.user_namespace) map_ids(reaper, options.uids, options.gids);
  /* Last of what may fail, for from here on there is something to remove. */
  int folder = hold_folder(directory, options.name, options.cgroups, options.cgroup_count);
  /* The pipe stays open: P looks at it. */
  bool announced = write_line(STDOUT_FILENO, "guard %d\n", reaper) && write_all(go[1], "g", 1);
  if (announced) {
    sweep_folders(directory);
  } else {
    complain_of("cannot announce the guard");
  }

  bool reaper_ended = announced && !wait_for_end(pidfd);
  if (!reaper_ended) kill(reaper, SIGKILL);
  /* Returns when every process in the namespace is gone: the kernel lets process 1 end last (pid_namespaces(7)). */
  int status = wait_for(reaper);
  for (size_t i = 0; i < options.cgroup_count; i++) remove_cgroup(options.cgroups[i], CGROUP_PATIENCE_MS);
  remove_folder(directory, options.name);
  close(folder);
  if (!announced) return EXIT_FAILED;
  return reaper_ended ? exit_status_of(status) : 0;
}
