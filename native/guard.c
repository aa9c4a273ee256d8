/*
 * bootstrap guard: one for each host. It makes the namespaces that all containers of the host are started in, so that
 * the kernel ends them all when it ends, and it outlives the host just long enough to remove what the host leaves.
 *
 *   guard --directory DIR --name NAME --stage DIR --init FILE --runtime FILE [--cgroup2 DIR] [--cgroup DIR]…
 *         [--ids FIRST:COUNT [--shift-init]] [--user-namespace [--uids FIRST:COUNT --gids FIRST:COUNT]] [--owner ID]
 *
 * --owner is the id of the containers' root in the user namespace, if there is one; 0 if it is not given. --ids are
 * those that images' files have on disk, where containers may have others; with --shift-init, so may `init` (rootfs.c).
 *
 * Three processes. The keeper stays outside, and waits for the end of stdin, whose other end the host has. The reaper is
 * process 1 of a pid namespace: the kernel kills all that was started in there when the reaper ends, and the reaper ends
 * with the keeper. The mounts go with its mount namespace. The starter (start.c), its child, starts the containers; the
 * reaper ends when that does.
 *
 * On stdout: "guard PID" (the reaper as the host sees it), what probe.c finds lacking, "ready", then "exited PID STATUS"
 * for each orphan that is reaped, such as process 1 of a container: PID as seen in the namespace, STATUS as of wait(2).
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

enum {
  MOST_CGROUPS = 32,
  CGROUP_PATIENCE_MS = 2000,
};

struct options {
  const char *directory, *name, *stage, *init, *runtime, *cgroup2;
  char *cgroups[MOST_CGROUPS];
  size_t cgroup_count;
  bool user_namespace, shift_init;
  struct id_range ids, uids, gids;
  uid_t owner;
};

static void require_options(const struct options *options) {
  if (options->directory == NULL || options->name == NULL || options->stage == NULL || options->init == NULL ||
      options->runtime == NULL) {
    fail_usage("guard needs --directory, --name, --stage, --init and --runtime");
  }
  if ((options->uids.count == 0) != (options->gids.count == 0)) fail_usage("--uids and --gids go together");
}

static struct options parse_options(char **arguments) {
  struct options options = {0};
  const struct {
    const char *name, **text;
    struct id_range *range;
    bool *flag;
  } known[] = {
      {"--directory", .text = &options.directory},
      {"--name", .text = &options.name},
      {"--stage", .text = &options.stage},
      {"--init", .text = &options.init},
      {"--runtime", .text = &options.runtime},
      {"--cgroup2", .text = &options.cgroup2},
      {"--ids", .range = &options.ids},
      {"--uids", .range = &options.uids},
      {"--gids", .range = &options.gids},
      {"--shift-init", .flag = &options.shift_init},
      {"--user-namespace", .flag = &options.user_namespace},
  };
  const size_t count = sizeof known / sizeof *known;
  for (; *arguments != NULL; arguments++) {
    const char *option = *arguments;
    size_t i = 0;
    while (i < count && strcmp(option, known[i].name) != 0) i++;
    if (i < count && known[i].flag != NULL) {
      *known[i].flag = true;
    } else if (i < count && known[i].text != NULL) {
      *known[i].text = option_value(&arguments);
    } else if (i < count) {
      *known[i].range = parse_range(option_value(&arguments));
    } else if (strcmp(option, "--owner") == 0) {
      options.owner = (uid_t)parse_number(option_value(&arguments), 1, UINT_MAX - 1, option);
    } else if (strcmp(option, "--cgroup") == 0 && options.cgroup_count < MOST_CGROUPS) {
      options.cgroups[options.cgroup_count++] = (char *)option_value(&arguments);
    } else {
      fail_usage("guard does not know the option %s", option);
    }
  }
  require_options(&options);
  return options;
}

static void set_up_mounts(const struct options *options, int init) {
  /* Slave: what the host mounts later is seen here, what is mounted here is not seen there. */
  if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) != 0) fail("cannot detach the mount namespace from the host's");
  make_stage(options->stage, init, options->owner);
  make_bundles(options->directory, options->name);
  if (options->cgroup2 != NULL && mount(options->cgroup2, "/sys/fs/cgroup", NULL, MS_BIND | MS_REC, NULL) != 0) {
    fail("cannot bind %s on /sys/fs/cgroup", options->cgroup2);
  }
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0) fail("cannot mount a fresh /proc");
}

/* Opens what the starter needs from outside, before the mounts of the namespace hide it. */
static struct starter prepare_starter(const struct options *options, int sockets) {
  static struct cgroup_parent parents[MOST_CGROUPS];
  for (size_t i = 0; i < options->cgroup_count; i++) {
    char *path = strdup(options->cgroups[i]);
    char *slash = path == NULL ? NULL : strrchr(path, '/');
    if (slash == NULL || slash == path) fail_usage("--cgroup needs an absolute path, not '%s'", options->cgroups[i]);
    *slash = '\0';
    parents[i] = (struct cgroup_parent){path, strlen(path), open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (parents[i].fd < 0) fail("cannot open %s", path);
  }
  struct starter starter = {.stage = options->stage,
                            .user_namespace = options->user_namespace,
                            .shifts_init = options->shift_init,
                            .sockets = sockets,
                            .runtime = copy_runtime(options->runtime),
                            .runtime_path = options->runtime,
                            .host_proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                            .cgroups = parents,
                            .cgroup_count = options->cgroup_count};
  if (starter.host_proc < 0) fail("cannot open /proc");
  return starter;
}

/* Reaps until this process is killed, or until the starter ends. */
_Noreturn static void reap_orphans(pid_t starter) {
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &awaited, NULL) != 0) fail("cannot block SIGCHLD");
  if (!write_line(STDOUT_FILENO, "ready\n")) fail("cannot say that the guard is ready");
  for (;;) {
    int status;
    pid_t child = waitpid(-1, &status, WNOHANG);
    /* The starter has said why. The host will start another guard. */
    if (child == starter) _exit(EXIT_FAILED);
    if (child > 0) {
      /* Not checked: if nobody reads any more, the host is gone and this process ends with it. */
      write_line(STDOUT_FILENO, "exited %d %d\n", child, status);
    } else if (child == 0 || errno == ECHILD) {
      if (sigwaitinfo(&awaited, NULL) < 0 && errno != EINTR) fail("cannot wait for a process to reap");
    } else if (errno != EINTR) {
      fail("cannot reap");
    }
  }
}

_Noreturn static void be_reaper(const struct options *options, int init, int go, int sockets) {
  char byte;
  ssize_t length = TEMP_FAILURE_RETRY(read(go, &byte, 1));
  if (length < 0) fail("cannot wait for the keeper");
  if (length == 0) _exit(EXIT_FAILED); /* the keeper died, or has said why it gave up */
  if (options->user_namespace) become_root_inside(options->uids.count > 0);
  die_with_parent(go);
  struct starter prepared = prepare_starter(options, sockets);
  set_up_mounts(options, init);
  struct root root = {.rootfs = options->directory,
                      .user_namespace = options->user_namespace,
                      .ids = options->ids,
                      .shifted = options->ids.first + options->ids.count,
                      .shifts_init = options->shift_init};
  tell_lacks(root, options->stage);
  /* The keeper alone is to have the host's stdin. */
  if (dup3(go, STDIN_FILENO, 0) < 0) fail("cannot let go of stdin");
  pid_t starter = fork_or_fail("start containers");
  if (starter == 0) {
    /* Only the reaper writes to stdout. */
    if (dup3(STDERR_FILENO, STDOUT_FILENO, 0) < 0) fail("cannot let go of stdout");
    start_containers(prepared);
  }
  close_from(STDERR_FILENO + 1);
  reap_orphans(starter);
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
    if (TEMP_FAILURE_RETRY(poll(polled, 2, -1)) < 0) {
      complain(STDERR_FILENO, errno, "cannot wait for the host's end");
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

/* The name is relative: a container's process can ask for the name of the socket that its stdio came through. */
static void listen_in(int folder, int sockets) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "start"};
  if (fchdir(folder) != 0) fail("cannot change to the host's folder");
  /* One of that name may have died. */
  if (unlink(address.sun_path) != 0 && errno != ENOENT) fail("cannot remove the socket %s", address.sun_path);
  if (bind(sockets, (struct sockaddr *)&address, sizeof address) != 0) fail("cannot make the socket %s", address.sun_path);
  if (listen(sockets, SOMAXCONN) != 0) fail("cannot listen on the socket %s", address.sun_path);
  if (chdir("/") != 0) fail("cannot change to the root folder");
}

int guard_main(char **arguments) {
  struct options options = parse_options(arguments);
  close_from(STDERR_FILENO + 1);
  ignore_signals();
  /* Away from the host's terminal and its job control. EPERM: it is in a session of its own already. */
  if (setsid() < 0 && errno != EPERM) fail("cannot make a session");
  cleanup_fd int directory = open(options.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) fail("cannot open %s", options.directory);
  /* By the keeper: the path leads through the host's /proc/PID/fd, which a process in a user namespace may not enter. */
  cleanup_fd int init = open(options.init, O_RDONLY | O_CLOEXEC);
  if (init < 0) fail("cannot open %s", options.init);
  /* The folder that the host was started in may have to be unmounted. */
  if (chdir("/") != 0) fail("cannot change to the root folder");

  int go[2];
  if (pipe2(go, O_CLOEXEC) != 0) fail("cannot make a pipe");
  int sockets = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (sockets < 0) fail("cannot make a socket");
  unsigned long namespaces = CLONE_NEWNS | CLONE_NEWPID;
  if (options.user_namespace) namespaces |= CLONE_NEWUSER;
  pid_t reaper = fork_into(namespaces);
  if (reaper == 0) {
    close(go[1]);
    be_reaper(&options, init, go[0], sockets);
  }
  cleanup_fd int pidfd = open_pidfd(reaper);
  if (options.user_namespace) map_ids(reaper, options.uids, options.gids);
  /* Late, because from here on there is something to remove: what fails now leaves it to the next guard. */
  cleanup_fd int folder = claim_folder(directory, options.name, options.cgroups, options.cgroup_count);
  listen_in(folder, sockets);
  close(sockets);
  /* The pipe stays open: die_with_parent() looks at it. */
  bool announced = write_line(STDOUT_FILENO, "guard %d\n", reaper) && write_all(go[1], "g", 1);
  if (announced) {
    sweep_folders(directory);
  } else {
    complain(STDERR_FILENO, errno, "cannot announce the guard");
  }

  bool reaper_ended = announced && !wait_for_end(pidfd);
  if (!reaper_ended) {
    /* Only here: where the reaper alone has ended, the host still listens. */
    if (announced) remove_dead_socket(folder);
    kill(reaper, SIGKILL);
  }
  /* Returns when every process in the namespace is gone: the kernel lets process 1 end last (pid_namespaces(7)). */
  int status = wait_for(reaper);
  for (size_t i = 0; i < options.cgroup_count; i++) remove_cgroup(options.cgroups[i], CGROUP_PATIENCE_MS);
  remove_folder(directory, options.name);
  if (!announced) return EXIT_FAILED;
  return reaper_ended ? exit_status_of(status) : 0;
}
