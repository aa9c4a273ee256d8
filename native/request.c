/*
 * One request to start a container, or a process in one: the part that a child of the starter does (start.c). The child
 * joins the container's cgroups, writes the runtime's configuration, puts the root file system in its place, and
 * executes the OCI runtime with the container's stdin, stdout and stderr, and the container's channel as descriptor 3.
 *
 *   PIDFILE [--cgroup DIR [--make] [--set FILE VALUE | --try FILE VALUE]…]… [--config FILE]
 *           [--rootfs DIR [--bound | [--ids FIRST:COUNT --to FIRST] [--layer DIR [--owner ID]]]] -- RUNTIME ARG…
 *
 * --make makes the cgroup, --set writes to one of its files, --try also where the kernel has no such file. --config
 * names the file that gets the request's content; its folder is made, and the one above it where that is missing.
 * --rootfs is the root file system that is to be found on the stage; the options after it are those of struct root.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Behind what the container's process is given (the runtime's --preserve-fds 1). It ends when the runtime is executed. */
enum { OWN_CHANNEL = GIVEN_DESCRIPTORS };

/*
 * By the descriptors that the guard opened before it mounted anything: what its namespace shows as /sys/fs/cgroup may
 * be something else.
 */
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
  int fd = openat(cgroup, file, O_WRONLY | O_CLOEXEC);
  if (fd < 0 && optional && errno == ENOENT) return;
  /* One write: the kernel takes a setting in one, or not at all. */
  if (fd < 0 || write(fd, value, strlen(value)) != (ssize_t)strlen(value)) fail("cannot write %s to %s", value, file);
  close(fd);
}

/* Handles the --cgroup that `arguments` is at; returns the last argument that belongs to it. */
static char **join_cgroup(const struct starter *starter, char **arguments) {
  const char *path = option_value(&arguments);
  bool make = arguments[1] != NULL && strcmp(arguments[1], "--make") == 0;
  if (make) arguments++;
  int cgroup = open_cgroup(starter, path, make);
  while (arguments[1] != NULL && (strcmp(arguments[1], "--set") == 0 || strcmp(arguments[1], "--try") == 0)) {
    bool optional = strcmp(*++arguments, "--try") == 0;
    const char *file = option_value(&arguments);
    write_setting(cgroup, file, option_value(&arguments), optional);
  }
  int processes = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  if (processes < 0 || write(processes, "0", 1) != 1) fail("cannot join the cgroup %s", path);
  close(processes);
  close(cgroup);
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

/* As a process that Node had started would have them; the guard ignores some, which would be inherited to the guest. */
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

/* The starter's descriptors are all above those that are given here. */
static void give_descriptors(const struct request *request) {
  move_descriptor(request->channel, OWN_CHANNEL, O_CLOEXEC);
  complaints = OWN_CHANNEL;
  for (int i = 0; i < GIVEN_DESCRIPTORS; i++) move_descriptor(request->given[i], i, 0);
  close_from(OWN_CHANNEL + 1);
}

_Noreturn void serve_request(const struct starter *starter, const struct request *request) {
  struct root root = {.user_namespace = starter->user_namespace, .shifts_init = starter->shifts_init};
  complaints = request->channel;
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
  give_descriptors(request);
  reset_signals();
  execv(arguments[1], arguments + 1);
  fail("cannot execute %s", arguments[1]);
}
