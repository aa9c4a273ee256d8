/*
 * What is mounted in the guard's namespace. The stage: a small tmpfs on a folder that everybody can reach. A container's
 * root is an unprivileged id that may not search the folders above the image store or above our programs, and the
 * runtime's mounts are made with that id; so what the runtime is to mount is put here first.
 *
 * STAGE/rootfs is a place to mount a root file system on, in a mount namespace of its own (rootfs.c).
 *
 * STAGE/init is a copy of that program and not a bind of it: its file may have been replaced or removed since it was
 * opened, and a file without a name cannot be bound. Nobody may read it: the kernel makes a process that executes a file
 * which it may not read undumpable from its first instruction on (would_dump() in fs/exec.c), so that the other processes
 * of its container cannot access its memory, not even while they stop it with SIGSTOP. It belongs to the containers' root:
 * such a process can be inspected only with privileges in a user namespace that has an id for the file's owner, and crun
 * looks up a container's namespaces when it has privileges in the container's own only.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

void make_stage(const char *stage, int init, uid_t owner) {
  struct stat status;
  if (fstat(init, &status) != 0) fail("cannot examine init");
  char choices[64];
  snprintf(choices, sizeof choices, "size=%ldk,nr_inodes=16,mode=0755", status.st_size / 1024 + 64);
  if (mount("tmpfs", stage, "tmpfs", MS_NOSUID | MS_NODEV, choices) != 0) fail("cannot mount a tmpfs on %s", stage);
  cleanup_fd int folder = open(stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) fail("cannot open %s", stage);
  if (mkdirat(folder, "rootfs", 0755) != 0) fail("cannot make %s/rootfs", stage);
  int copy = openat(folder, "init", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0111);
  if (copy < 0) fail("cannot make %s/init", stage);
  for (off_t copied = 0; copied < status.st_size;) {
    ssize_t length = sendfile(copy, init, &copied, (size_t)(status.st_size - copied));
    if (length < 0) fail("cannot copy init to %s/init", stage);
    if (length == 0) fail_plainly("cannot copy init to %s/init: its file is shorter than it was", stage);
  }
  if (owner != 0 && fchown(copy, owner, owner) != 0) fail("cannot give %s/init to the containers' root", stage);
  if (close(copy) != 0) fail("cannot copy init to %s/init", stage);
  /* Every container has it: nobody may change it from here on. */
  if (mount(NULL, stage, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) != 0) {
    fail("cannot make %s read-only", stage);
  }
}

/*
 * The runtime writes a dozen small files for each container, one of them synchronously (runc its --pid-file), which on
 * the host's disk would be a write to the disk for each boot. The host itself reaches what is here through /proc.
 */
void make_bundles(const char *directory, const char *name) {
  char folder[4096];
  int length = snprintf(folder, sizeof folder, "%s/%s", directory, name);
  if (length < 0 || (size_t)length >= sizeof folder) fail_usage("%s is too long", directory);
  if (mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0) {
    fail("cannot mount a tmpfs on %s", folder);
  }
}
