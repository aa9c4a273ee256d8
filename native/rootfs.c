/*
 * The root file system of a container, put where the container's root can reach it: on STAGE/rootfs, in a mount
 * namespace that ends with the runtime. The container has its own copy by then, so nothing is left to unmount and
 * containers do not see each other's.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The flags of a mount, as mount(2) takes them. In a user namespace they are locked: a remount must repeat them. */
static unsigned long mount_flags(const char *path) {
  struct statvfs status;
  if (statvfs(path, &status) != 0) fail("cannot examine the mount of %s", path);
  const unsigned long same = ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME;
  return (status.f_flag & same) | (status.f_flag & ST_RELATIME ? MS_RELATIME : 0);
}

static void make_namespace(void) {
  if (unshare(CLONE_NEWNS) != 0) fail("cannot make a mount namespace");
}

/* Read-only from here on, or the runtime would make missing mount points and working folders in the shared image. */
void bind_rootfs(const char *stage, const char *rootfs) {
  char target[4096];
  snprintf(target, sizeof target, "%s/rootfs", stage);
  make_namespace();
  if (mount(rootfs, target, NULL, MS_BIND, NULL) != 0) fail("cannot bind %s on %s", rootfs, target);
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
 * The folders are named by descriptor, because names would have to be escaped in the options. In a user namespace,
 * overlay may not use trusted.* attributes (overlayfs.rst, userxattr).
 */
void mount_overlay(const char *stage, const char *rootfs, const char *layer, bool user_namespace, uid_t owner) {
  char target[4096], choices[256];
  snprintf(target, sizeof target, "%s/rootfs", stage);
  make_namespace();
  int lower = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lower < 0) fail("cannot open %s", rootfs);
  int upper = open_part(layer, "upper"), work = open_part(layer, "work");
  snprintf(choices, sizeof choices, "lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d%s",
           lower, upper, work, user_namespace ? ",userxattr" : "");
  if (mount("overlay", target, "overlay", MS_NOSUID | MS_NODEV, choices) != 0) {
    fail("cannot mount an overlay with the writable layer %s", layer);
  }
  if (owner == 0) return;
  /*
   * The image's files belong to id 0 of this namespace, which the container does not have. Its root gets the folders,
   * so that it can add, replace and remove files; not the files, which would all be copied. Itself last, which tells
   * the next start that this was done.
   */
  struct stat status;
  if (stat(target, &status) != 0) fail("cannot examine %s", target);
  if (status.st_uid == owner) return;
  new_owner = owner;
  if (nftw(target, give_folder, 64, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0) fail("cannot give the folders to the container");
}
