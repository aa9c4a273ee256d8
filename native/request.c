/*
 * One request to start a container, or a process in one, as a child of the starter does it (start.c): it joins the
 * container's cgroups, writes the runtime's configuration, mounts the root file system, and executes the OCI runtime with
 * the container's stdin, stdout and stderr, and the container's channel as descriptor 3.
 *
 *   PIDFILE [--cgroup DIR [--make] [--set FILE VALUE | --try FILE VALUE]…]… [--config FILE]
 *           [--rootfs DIR [--bound | [--ids FIRST:COUNT --to FIRST] [--layer DIR [--owner ID]]]] -- RUNTIME ARG…
 *
 * --make makes the cgroup, --set writes to one of its files, --try also where the kernel has no such file. --config
 * names the file that gets the request's content; its folder is made, and the one above it where that is missing.
 * --rootfs is the root file system to be mounted on the stage; the options after it are those of struct root.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

/* Behind what the container's process is given (the runtime's --preserve-fds 1), closed when the runtime is executed. */
enum { OWN_CHANNEL = GIVEN_DESCRIPTORS, OWN_RUNTIME, ITS_STDERR };
_Static_assert((int)ITS_STDERR < (int)FIRST_OWN_DESCRIPTOR, "the starter's descriptors are above");

/* By the descriptors that the guard opened: /sys/fs/cgroup may be something else in its mount namespace. */
static int open_cgroup(const struct starter *starter, const char *path, bool make) {
  for (size_t i = 0; i < starter->cgroup_count; i++) {
    const struct cgroup_parent *parent = &starter->cgroups[i];
    if (strncmp(path, parent->path, parent->length) != 0 || path[parent->length] != '/') continue;
    const char *inner = path + parent->length + 1;
    if (make && mkdirat(parent->fd, inner, 0755) != 0) fail("cannot make the cgroup %s", path);
    int fd = openat(parent->fd, inner, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fail("cannot open the cgroup %s", path);
    return fd;
  }
  fail_usage("%s is no cgroup of this guard", path);
}

static void write_setting(int cgroup, const char *file, const char *value, bool optional) {
  cleanup_fd int fd = openat(cgroup, file, O_WRONLY | O_CLOEXEC);
  if (fd < 0 && optional && errno == ENOENT) return;
  /* One write: the kernel takes a setting in one, or not at all. */
  if (fd < 0 || write(fd, value, strlen(value)) != (ssize_t)strlen(value)) fail("cannot write %s to %s", value, file);
}

/* Handles the --cgroup that `arguments` is at; returns the last argument that belongs to it. */
static char **join_cgroup(const struct starter *starter, char **arguments) {
  const char *path = option_value(&arguments);
  bool make = arguments[1] != NULL && strcmp(arguments[1], "--make") == 0;
  if (make) arguments++;
  cleanup_fd int cgroup = open_cgroup(starter, path, make);
  while (arguments[1] != NULL && (strcmp(arguments[1], "--set") == 0 || strcmp(arguments[1], "--try") == 0)) {
    bool optional = strcmp(*++arguments, "--try") == 0;
    const char *file = option_value(&arguments);
    write_setting(cgroup, file, option_value(&arguments), optional);
  }
  cleanup_fd int processes = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  if (processes < 0 || write(processes, "0", 1) != 1) fail("cannot join the cgroup %s", path);
  return arguments;
}

/* Makes the folder of `file`, and the one above it. */
static void make_folders(const char *file) {
  char path[PATH_MAX];
  size_t length = strlen(file);
  char *slash;
  if (length >= sizeof path) fail_usage("%s is too long", file);
  memcpy(path, file, length + 1);
  if ((slash = strrchr(path, '/')) == NULL || slash == path) fail_usage("%s has no folder", file);
  *slash = '\0';
  if (mkdir(path, 0700) == 0 || errno == EEXIST) return;
  if (errno != ENOENT || (slash = strrchr(path, '/')) == NULL || slash == path) fail("cannot make the folder %s", path);
  *slash = '\0';
  if (mkdir(path, 0700) != 0 && errno != EEXIST) fail("cannot make the folder %s", path);
  *slash = '/';
  if (mkdir(path, 0700) != 0 && errno != EEXIST) fail("cannot make the folder %s", path);
}

static void write_config(const char *file, const char *content, size_t length) {
  make_folders(file);
  int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) fail("cannot make %s", file);
  if (!write_all(fd, content, length) || close(fd) != 0) fail("cannot write %s", file);
}

/* The guard ignores some signals, and the container's processes would inherit that. */
static void reset_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < NSIG; number++) {
    /* The C library keeps two for itself, and two cannot be changed: EINVAL. */
    if (signal(number, SIG_DFL) == SIG_ERR && errno != EINVAL) fail("cannot reset signal %d", number);
  }
  if (sigprocmask(SIG_SETMASK, &none, NULL) != 0) fail("cannot unblock signals");
}

static void move_descriptor(int from, int to, int flags) {
  if (dup3(from, to, flags) < 0) fail("cannot move file descriptor %d to %d", from, to);
}

/* stderr is the starter's channel until all else is done. */
static void give_descriptors(const struct starter *starter, const struct request *request) {
  move_descriptor(request->channel, OWN_CHANNEL, O_CLOEXEC);
  move_descriptor(request->given[STDERR_FILENO], ITS_STDERR, O_CLOEXEC);
  if (starter->runtime >= 0) move_descriptor(starter->runtime, OWN_RUNTIME, O_CLOEXEC);
  for (int i = 0; i < GIVEN_DESCRIPTORS; i++) {
    if (i != STDERR_FILENO) move_descriptor(request->given[i], i, 0);
  }
  close_from(FIRST_OWN_DESCRIPTOR);
  move_descriptor(ITS_STDERR, STDERR_FILENO, 0);
}

_Noreturn static void execute_runtime(const struct starter *starter, char **command) {
  if (starter->runtime >= 0 && strcmp(command[0], starter->runtime_path) == 0) {
    fexecve(OWN_RUNTIME, command, environ);
  } else {
    execv(command[0], command);
  }
  complain(OWN_CHANNEL, errno, "cannot execute %s", command[0]);
  _exit(EXIT_FAILED);
}

_Noreturn void serve_request(const struct starter *starter, const struct request *request) {
  struct root root = {.user_namespace = starter->user_namespace, .shifts_init = starter->shifts_init};
  if (dup3(request->channel, STDERR_FILENO, 0) < 0) {
    complain(request->channel, errno, "cannot take the starter's channel as stderr");
    _exit(EXIT_FAILED);
  }
  char **arguments = request->arguments + 1;
  for (;; arguments++) {
    const char *option = *arguments;
    if (option == NULL) fail_usage("a request needs -- and the runtime's command line");
    if (strcmp(option, "--") == 0) break;
    if (strcmp(option, "--cgroup") == 0) {
      arguments = join_cgroup(starter, arguments);
    } else if (strcmp(option, "--config") == 0) {
      write_config(option_value(&arguments), request->content, request->content_length);
    } else if (strcmp(option, "--rootfs") == 0) {
      root.rootfs = option_value(&arguments);
    } else if (strcmp(option, "--bound") == 0) {
      root.bound = true;
    } else if (strcmp(option, "--ids") == 0) {
      root.ids = parse_range(option_value(&arguments));
    } else if (strcmp(option, "--to") == 0) {
      root.shifted = (unsigned)parse_number(option_value(&arguments), 1, UINT_MAX - 1, option);
    } else if (strcmp(option, "--layer") == 0) {
      root.layer = option_value(&arguments);
    } else if (strcmp(option, "--owner") == 0) {
      root.owner = (uid_t)parse_number(option_value(&arguments), 1, UINT_MAX - 1, option);
    } else {
      fail_usage("a request does not know the option %s", option);
    }
  }
  if (arguments[1] == NULL) fail_usage("a request needs the runtime's command line after --");
  if (root.rootfs == NULL && (root.layer != NULL || root.bound)) fail_usage("--layer and --bound go with --rootfs");
  if ((root.ids.count > 0) != (root.shifted > 0)) fail_usage("--ids and --to go together");
  if (root.bound && (root.layer != NULL || root.shifted > 0)) fail_usage("--bound goes without --layer and --ids");
  if (root.rootfs != NULL) mount_root(&root, starter->stage);
  reset_signals();
  give_descriptors(starter, request);
  execute_runtime(starter, arguments + 1);
}
