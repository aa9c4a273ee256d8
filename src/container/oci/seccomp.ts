// The system calls that a container may make, as an allow-list. A call that is not named fails with ENOSYS, as on a kernel
// that does not have it, so that a libc or an interpreter falls back to what it did on older kernels. Those named in
// `refused` fail with EPERM, so that a program says that it was not allowed.
//
// A driver reads stdin, computes, and writes stdout, with temporary files, threads and child processes. So it gets files,
// memory, its own processes, signals, time, polling and local sockets, which Node, CPython, the JVM and Go programs were
// seen to need. It does not get the parts of the kernel that were broken most often and that no parser needs: user
// namespaces, which open privileged interfaces of every subsystem, mounts, io_uring, bpf, perf, userfaultfd, keyrings, the
// network's protocol families, System V and POSIX message queues, splice. A file of an image is one inode for all its
// containers, and some limits count by the user or for the whole machine: calls that reach other containers through those
// are not allowed either. The namespaces isolate without this list; it is there in case one of them fails.
// https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

const files = `
  access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fallocate fchdir
  fchmod fchmodat fchmodat2 fchown fchownat fdatasync fgetxattr flistxattr flock fstat fstat64 fstatat64 fstatfs
  fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr lchown lgetxattr link linkat listxattr llistxattr lseek _llseek lstat lstat64 mkdir mkdirat mknod mknodat
  newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat
  readv rename renameat renameat2 rmdir sendfile sendfile64 stat stat64 statfs statfs64 statx symlink symlinkat sync_file_range
  truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes write writev`;

const memory = `
  brk membarrier mlock mlock2 mprotect mremap msync munlock munmap pkey_alloc pkey_free pkey_mprotect map_shadow_stack`;

const processes = `
  arch_prctl capget execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv
  futex_wake get_robust_list get_thread_area getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
  getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit
  getrusage getsid gettid getuid getuid32 kill pidfd_open pidfd_send_signal prctl riscv_flush_icache riscv_hwprobe rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
  sched_getscheduler sched_rr_get_interval sched_yield set_robust_list set_thread_area set_tid_address setfsgid
  setfsuid setgid setgid32 setgroups setpgid setregid setresgid setresuid setreuid setrlimit setsid setuid
  setuid32 sysinfo tgkill tkill ugetrlimit uname vfork wait4 waitid waitpid`;

const signalsAndTime = `
  alarm clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
  getitimer gettimeofday nanosleep pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn
  rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 setitimer sigaltstack sigreturn
  signalfd signalfd4 time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
  timerfd_gettime timerfd_settime times`;

const pollingAndPipes = `
  epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 _newselect pipe pipe2 poll
  ppoll ppoll_time64 pselect6 pselect6_time64 select`;

/** For the stdio of a process, which are sockets, and sockets of the local family. */
const sockets = 'accept accept4 bind connect getpeername getsockname getsockopt listen setsockopt shutdown';

const randomness = 'getrandom';

/** Used only to break out, or to reach the kernel's least tested parts. */
const refused = `
  acct add_key bpf chroot clock_adjtime clock_settime delete_module fanotify_init finit_module fsconfig fsmount fsopen
  fspick init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl
  lookup_dcookie mount mount_setattr move_mount name_to_handle_at nfsservctl open_by_handle_at open_tree
  perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev ptrace quotactl quotactl_fd
  reboot request_key sethostname setdomainname setns setpriority settimeofday stime swapoff swapon syslog umount
  umount2 unshare userfaultfd vhangup`;

/** CLONE_NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWNS (sched.h). NEWTIME cannot be given to clone. */
const newNamespaces = 0x7e02_0000;

const AF_UNIX = 1;

/**
 * The requests of ioctl that are allowed. Not TIOCSTI and TIOCLINUX, which write to a terminal's input. The kernel compares
 * the low 32 bits of the request only, and so do the rules: setting one of the others gets around a list of refused
 * requests (CVE-2019-7303).
 */
const ioctlRequests = {
  TCGETS: 0x5401,
  TIOCGPGRP: 0x540f,
  TIOCGWINSZ: 0x5413,
  FIONREAD: 0x541b,
  FIONBIO: 0x5421,
  FIONCLEX: 0x5450,
  FIOCLEX: 0x5451,
  FICLONE: 0x4004_9409,
};

/** personality(2): 0 is what a process has, all ones asks for it. */
const personalities = [0, 0xffff_ffff];

/**
 * The commands of fcntl that are allowed: descriptors, flags, locks of byte ranges, seals of memory files. The others act on
 * the inode, which other containers of the image may share, or count against the user.
 */
const fcntlCommands = {
  F_DUPFD: 0,
  F_GETFD: 1,
  F_SETFD: 2,
  F_GETFL: 3,
  F_SETFL: 4,
  F_GETLK: 5,
  F_SETLK: 6,
  F_SETLKW: 7,
  F_OFD_GETLK: 36,
  F_OFD_SETLK: 37,
  F_OFD_SETLKW: 38,
  F_DUPFD_QUERY: 1027,
  F_DUPFD_CLOEXEC: 1030,
  F_GETPIPE_SZ: 1032,
  F_ADD_SEALS: 1033,
  F_GET_SEALS: 1034,
};

/** An owner's lease keeps others from opening a file; signals and pipes' pages count against the user. */
const refusedFcntlCommands = {
  F_SETOWN: 8,
  F_SETSIG: 10,
  F_SETOWN_EX: 15,
  F_SETLEASE: 1024,
  F_NOTIFY: 1026,
  F_SETPIPE_SZ: 1031,
};

/**
 * The advice of madvise that is allowed: none that takes pages of a file away from its other users (MADV_COLD,
 * MADV_PAGEOUT), or lets the kernel compare pages of different processes (MADV_MERGEABLE).
 */
const memoryAdvice = {
  MADV_NORMAL: 0,
  MADV_RANDOM: 1,
  MADV_SEQUENTIAL: 2,
  MADV_WILLNEED: 3,
  MADV_DONTNEED: 4,
  MADV_FREE: 8,
  MADV_REMOVE: 9,
  MADV_DONTFORK: 10,
  MADV_DOFORK: 11,
  MADV_HUGEPAGE: 14,
  MADV_NOHUGEPAGE: 15,
  MADV_DONTDUMP: 16,
  MADV_DODUMP: 17,
  MADV_WIPEONFORK: 18,
  MADV_KEEPONFORK: 19,
  MADV_POPULATE_READ: 22,
  MADV_POPULATE_WRITE: 23,
  MADV_COLLAPSE: 25,
  MADV_GUARD_INSTALL: 102,
  MADV_GUARD_REMOVE: 103,
};

/** POSIX_FADV_NORMAL to WILLNEED, and NOREUSE. Not DONTNEED, which drops a file that others read from memory. */
const fileAdvice = [0, 1, 2, 3, 5];

/** Flags that are refused, with the calls and the index of the argument. */
const refusedFlags: readonly { readonly names: string; readonly index: number; readonly flag: number }[] = [
  // MSG_OOB: nothing of ours sends urgent bytes on local sockets, and their code had a hole (CVE-2025-38236).
  { names: 'sendmsg recvmsg', index: 2, flag: 1 },
  { names: 'send sendto sendmmsg recv recvfrom recvmmsg', index: 3, flag: 1 },
  // MAP_HUGETLB, MFD_HUGETLB: huge pages are the machine's, and no limit of ours counts them.
  { names: 'mmap mmap2', index: 3, flag: 0x4_0000 },
  { names: 'memfd_create', index: 1, flag: 4 },
];

interface Argument {
  index: number;
  value: number;
  valueTwo?: number;
  op: `SCMP_CMP_${'EQ' | 'GT' | 'MASKED_EQ'}`;
}

export interface Rule {
  names: string[];
  action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  errnoRet?: number;
  args?: Argument[];
}

const namesOf = (...groups: string[]): string[] => groups.flatMap((group) => group.trim().split(/\s+/));

const allow = (names: string[], ...args: Argument[]): Rule => ({ names, action: 'SCMP_ACT_ALLOW', args });

const refuse = (errnoRet: number, names: string[], ...args: Argument[]): Rule => ({
  names,
  action: 'SCMP_ACT_ERRNO',
  errnoRet,
  args,
});

const low32Bits = (index: number, value: number): Argument => ({
  index,
  value: 0xffff_ffff,
  valueTwo: value,
  op: 'SCMP_CMP_MASKED_EQ',
});

/** The `linux.seccomp` object of a container's configuration. Only the machine's own ABI: others are killed. */
export const seccompProfile = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: ENOSYS,
  syscalls: [
    allow(namesOf(files, memory, processes, signalsAndTime, pollingAndPipes, sockets, randomness)),
    // clone3 passes its flags in memory, where no filter can see them; without it, libc uses clone.
    allow(['clone'], { index: 0, value: newNamespaces, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }),
    allow(['socket', 'socketpair'], { index: 0, value: AF_UNIX, op: 'SCMP_CMP_EQ' }),
    refuse(EAFNOSUPPORT, ['socket', 'socketpair'], { index: 0, value: AF_UNIX, op: 'SCMP_CMP_GT' }),
    ...Object.values(ioctlRequests).map((request) => allow(['ioctl'], low32Bits(1, request))),
    ...personalities.map((value) => allow(['personality'], low32Bits(0, value))),
    ...Object.values(fcntlCommands).map((command) => allow(['fcntl', 'fcntl64'], low32Bits(1, command))),
    ...Object.values(refusedFcntlCommands).map((command) => refuse(EPERM, ['fcntl', 'fcntl64'], low32Bits(1, command))),
    ...Object.values(memoryAdvice).map((advice) => allow(['madvise'], low32Bits(2, advice))),
    ...fileAdvice.map((advice) => allow(['fadvise64'], low32Bits(3, advice))),
    ...refusedFlags.map(({ names, index, flag }) =>
      allow(namesOf(names), { index, value: flag, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }),
    ),
    // The limits of the caller alone (a process id of 0), not those of process 1.
    allow(['prlimit64'], low32Bits(0, 0)),
    refuse(EPERM, namesOf(refused)),
  ] satisfies Rule[],
};
