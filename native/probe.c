/*
 * What this machine lacks for containers' root file systems, tried once for each guard: kernels and file systems differ
 * in what they let be overlaid, and in which owners can be shifted (rootfs.c).
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <string.h>

/* Mounts a root in a child, whose mount namespace ends with it. False, with the child's complaint, if that fails. */
static bool can_mount(const struct root *root, const char *stage, char *complaint, size_t size) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail("cannot make a pipe");
  pid_t child = fork_or_fail("try how roots are mounted");
  if (child == 0) {
    if (dup3(ends[1], STDERR_FILENO, 0) < 0) fail("cannot take a pipe as stderr");
    mount_root(root, stage);
    _exit(0);
  }
  close(ends[1]);
  ssize_t length = TEMP_FAILURE_RETRY(read(ends[0], complaint, size - 1));
  close(ends[0]);
  complaint[length > 0 ? length : 0] = '\0';
  complaint[strcspn(complaint, "\n")] = '\0';
  if (length <= 0) snprintf(complaint, size, "bootstrap: it was not tried to the end");
  return exit_status_of(wait_for(child)) == 0;
}

void tell_lacks(struct root root, const char *stage) {
  char complaint[400];
  if (can_mount(&root, stage, complaint, sizeof complaint)) return;
  if (root.ids.count > 0) {
    write_line(STDOUT_FILENO, "lacks ids %s\n", complaint);
    root.ids.count = 0;
    if (can_mount(&root, stage, complaint, sizeof complaint)) return;
  }
  write_line(STDOUT_FILENO, "lacks overlay %s\n", complaint);
}
