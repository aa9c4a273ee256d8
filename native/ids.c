/*
 * The ids of a user namespace (user_namespaces(7)). An ordinary user may map one id, its own; more must be granted in
 * /etc/subuid and /etc/subgid, and are mapped by the setuid programs newuidmap and newgidmap, which check the grant.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

struct id_range parse_range(const char *text) {
  unsigned first, count;
  char rest;
  if (sscanf(text, "%u:%u%c", &first, &count, &rest) != 2 || count == 0 || first > 0xfffffffe - count) {
    fail_usage("a range of ids is FIRST:COUNT, not '%s'", text);
  }
  return (struct id_range){first, count};
}

static void write_process_file(pid_t process, const char *name, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", process, name);
  cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
  /* One write: the kernel takes a map in one, or not at all. */
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) fail("cannot write %s", path);
}

static void run_mapper(const char *program, pid_t child, unsigned own, struct id_range range) {
  char process[16], self[16], first[16], count[16];
  snprintf(process, sizeof process, "%d", child);
  snprintf(self, sizeof self, "%u", own);
  snprintf(first, sizeof first, "%u", range.first);
  snprintf(count, sizeof count, "%u", range.count);
  char *arguments[] = {(char *)program, process, "0", self, "1", "1", first, count, NULL};
  pid_t mapper = fork_or_fail("map ids");
  if (mapper == 0) {
    /* Only the reaper writes to stdout. */
    if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0) fail("cannot redirect the output of %s", program);
    execvp(program, arguments);
    fail("cannot execute %s", program);
  }
  int status = exit_status_of(wait_for(mapper));
  if (status != 0) {
    fail_plainly("%s refused to map %u ids from %u on; it ended with status %d", program, range.count, range.first, status);
  }
}

static void write_map(pid_t child, const char *name, unsigned own, struct id_range range) {
  char map[80];
  if (range.count == 0) {
    snprintf(map, sizeof map, "0 %u 1\n", own);
  } else {
    snprintf(map, sizeof map, "0 %u 1\n1 %u %u\n", own, range.first, range.count);
  }
  write_process_file(child, name, map);
}

void map_ids(pid_t child, struct id_range uids, struct id_range gids) {
  if (uids.count == 0) {
    /* Else a process that is denied something as a member of a group could leave the group (CVE-2014-8989). */
    write_process_file(child, "setgroups", "deny");
    write_map(child, "uid_map", geteuid(), uids);
    write_map(child, "gid_map", getegid(), gids);
  } else if (geteuid() == 0) {
    write_map(child, "uid_map", 0, uids);
    write_map(child, "gid_map", getegid(), gids);
  } else {
    run_mapper("newuidmap", child, geteuid(), uids);
    run_mapper("newgidmap", child, getegid(), gids);
  }
}

int make_id_map(struct id_range ids, unsigned to) {
  char map[80], path[64], byte;
  int gate[2];
  if (pipe2(gate, O_CLOEXEC) != 0) fail("cannot make a pipe");
  pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
  if (child < 0) fail("cannot make a user namespace for mounts");
  if (child == 0) {
    /* The pipe ends when the parent closes it, or dies. */
    close(gate[1]);
    (void)TEMP_FAILURE_RETRY(read(gate[0], &byte, 1));
    _exit(0);
  }
  close(gate[0]);
  snprintf(map, sizeof map, "0 0 1\n%u %u %u\n", ids.first, to, ids.count);
  write_process_file(child, "uid_map", map);
  write_process_file(child, "gid_map", map);
  snprintf(path, sizeof path, "/proc/%d/ns/user", child);
  int namespace = open(path, O_RDONLY | O_CLOEXEC);
  if (namespace < 0) fail("cannot open %s", path);
  close(gate[1]);
  wait_for(child);
  return namespace;
}

void become_root_inside(bool may_set_groups) {
  if (may_set_groups && setgroups(0, NULL) != 0) fail("cannot leave the supplementary groups");
  if (setresgid(0, 0, 0) != 0) fail("cannot become group 0 of the user namespace");
  if (setresuid(0, 0, 0) != 0) fail("cannot become user 0 of the user namespace");
}
