/*
 * The root file system of a container, mounted where the container's root can reach it: on STAGE/rootfs, in a mount
 * namespace that ends with the runtime. The container's own mount namespace is a copy of that one, so that nothing has to
 * be unmounted and containers do not see each other's.
 *
 * It is an overlay even where it is read-only: each container then has inodes of its own, so that a lock or a lease that
 * one takes on a file of the image is no other's, and /proc/self/mountinfo does not tell where the image lies.
 *
 * Where ids are given, the image's folder and the layer are mounted with their owners shifted (mount_setattr(2),
 * MOUNT_ATTR_IDMAP) to the container's own range of ids, and so is STAGE/init where the runtime needs that (stage.c).
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

/* linux/mount.h cannot be included beside sys/mount.h, and the C library has these since 2.36 only. */
enum { CLONE_TREE = 1, MOVE_FROM_DESCRIPTOR = 4, ID_MAPPED = 0x100000 };
struct mount_attributes {
  uint64_t set, clear, propagation, user_namespace;
};

static int open_folder(int parent, const char *path) {
  int fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("cannot open %s", path);
  return fd;
}

/* The flags of a mount, as mount(2) takes them. In a user namespace they are locked: a remount must repeat them. */
static unsigned long mount_flags(const char *path) {
  struct statvfs status;
  if (statvfs(path, &status) != 0) fail("cannot examine the mount of %s", path);
  const unsigned long same = ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME;
  return (status.f_flag & same) | (status.f_flag & ST_RELATIME ? MS_RELATIME : 0);
}

/* Read-only at once: the runtime would make missing mount points and working folders in the shared image. */
static void bind_read_only(const char *folder, const char *target) {
  if (mount(folder, target, NULL, MS_BIND, NULL) != 0) fail("cannot bind %s on %s", folder, target);
  unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | mount_flags(target);
  if (mount(NULL, target, NULL, flags, NULL) != 0) fail("cannot make %s read-only", target);
}

/*
 * Opens a folder (or, with a map, a file), with its owners shifted if there is a map. It is mounted on `target` then,
 * because an overlay takes only what is mounted in our namespace; the next mount there covers it.
 */
static int open_layer(const char *folder, const char *target, int id_map) {
  if (id_map < 0) return open_folder(AT_FDCWD, folder);
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, folder, CLONE_TREE | O_CLOEXEC);
  if (tree < 0) fail("cannot clone the mount of %s", folder);
  struct mount_attributes attributes = {.set = ID_MAPPED, .user_namespace = (uint64_t)id_map};
  if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    fail("cannot map the ids of %s", folder);
  }
  if (syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_FROM_DESCRIPTOR) != 0) {
    fail("cannot mount %s on %s", folder, target);
  }
  return tree;
}

static uid_t new_owner;

static int give_folder(const char *path, const struct stat *status, int kind, struct FTW *place) {
  (void)place;
  if (kind != FTW_DP || status->st_uid != 0) return 0;
  return lchown(path, new_owner, new_owner);
}

/*
 * The image's files belong to id 0 of this namespace, which the container does not have. Its root is given the folders,
 * to add, replace and remove files, and not the files, which would all be copied. The top folder is the last one, which
 * tells the next start that all were given.
 */
static void give_folders(const char *target, uid_t owner) {
  struct stat status;
  if (stat(target, &status) != 0) fail("cannot examine %s", target);
  if (status.st_uid == owner) return;
  new_owner = owner;
  if (nftw(target, give_folder, 64, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0) fail("cannot give the folders to the container");
}

/*
 * The folders are named by descriptor, because names would have to be escaped in the options. A read-only overlay needs
 * two lower folders: the second is the empty mount point. In a user namespace, overlay may not use trusted.* attributes
 * (overlayfs.rst, userxattr).
 */
static void mount_overlay(const struct root *root, const char *target, int id_map) {
  cleanup_fd int empty = open_folder(AT_FDCWD, target), layer = -1, upper = -1, work = -1;
  char choices[256], writable[128] = "";
  if (root->layer != NULL) {
    layer = open_layer(root->layer, target, id_map);
    upper = open_folder(layer, "upper");
    work = open_folder(layer, "work");
    snprintf(writable, sizeof writable, ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d", upper, work);
  }
  cleanup_fd int lower = open_layer(root->rootfs, target, id_map);
  snprintf(choices, sizeof choices, "lowerdir=/proc/self/fd/%d:/proc/self/fd/%d%s%s", lower, empty, writable,
           root->user_namespace ? ",userxattr" : "");
  unsigned long flags = MS_NOSUID | MS_NODEV | (root->layer == NULL ? MS_RDONLY : 0);
  if (mount("overlay", target, "overlay", flags, choices) != 0) fail("cannot mount an overlay of %s", root->rootfs);
}

void mount_root(const struct root *root, const char *stage) {
  char target[4096], init[4096];
  snprintf(target, sizeof target, "%s/rootfs", stage);
  snprintf(init, sizeof init, "%s/init", stage);
  if (unshare(CLONE_NEWNS) != 0) fail("cannot make a mount namespace");
  cleanup_fd int id_map = root->ids.count > 0 ? make_id_map(root->ids, root->shifted) : -1;
  cleanup_fd int shifted = root->shifts_init && id_map >= 0 ? open_layer(init, init, id_map) : -1;
  if (root->bound) {
    bind_read_only(root->rootfs, target);
  } else {
    mount_overlay(root, target, id_map);
  }
  if (root->owner != 0) give_folders(target, root->owner);
}
