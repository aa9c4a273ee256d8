/*
 * Another lock for whoever has one already (lock.c): a fork of this small process takes a tenth of a millisecond, and
 * starting another from Node several. Each byte on stdin asks for something:
 *
 *   l   takes the lock as `bootstrap lock LOCK` does
 *   p   prepares it as `bootstrap lock --after-sync FOLDER LOCK` does
 *   \n  is the line that --after-sync waits for
 *   e   lets go of the lock, or gives it up, whatever is being done for it
 *
 * A child does each, and says on stdout what these would; what it complains of comes there too, so that it comes before
 * "ended\n", which is written when there is no such child any more, for whatever reason. Whatever happens to the child,
 * the first lock stays. There is one child at a time.
 */
#define _GNU_SOURCE
#include "bootstrap.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* The child, and our end of the socket that is its stdin: it hangs up when the child has ended. -1 if there is none. */
struct loan {
  pid_t child;
  int socket;
};

static void say_ended(void) {
  if (!write_all(STDOUT_FILENO, "ended\n", 6)) fail("cannot say that a lock is let go");
}

/* A fault that is told, and costs the first lock nothing. */
static void refuse(const char *step) {
  complaints = STDOUT_FILENO;
  complain_of(step);
  complaints = STDERR_FILENO;
  say_ended();
}

_Noreturn static void become_holder(int stdin_socket, struct lendable lendable, bool after_sync) {
  complaints = STDOUT_FILENO;
  if (dup2(stdin_socket, STDIN_FILENO) < 0) fail("cannot give a lock's holder its stdin");
  /* Neither may the first lock live on in here, nor the other end of our own stdin. */
  close_from(STDERR_FILENO + 1);
  die_with_parent(STDIN_FILENO);
  _exit(hold_lock(lendable.path, after_sync ? lendable.synced : NULL));
}

static struct loan begin(struct lendable lendable, bool after_sync) {
  static const struct loan none = {-1, -1};
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    refuse("cannot make a socket for another lock");
    return none;
  }
  pid_t child = fork();
  if (child == 0) become_holder(ends[1], lendable, after_sync);
  /* Linux closes whatever it says (close(2)), and nothing was written. */
  close(ends[1]);
  if (child > 0) return (struct loan){child, ends[0]};
  refuse("cannot fork to take another lock");
  close(ends[0]);
  return none;
}

static void finish(struct loan *loan) {
  close(loan->socket);
  /* Whether it did what it was asked for, it has said itself. */
  wait_for(loan->child);
  *loan = (struct loan){-1, -1};
  say_ended();
}

static void obey(char asked, struct loan *loan, struct lendable lendable) {
  /* It may have ended by itself, which whoever asks has not been told yet. */
  bool lent = loan->child > 0;
  switch (asked) {
    case 'l':
    case 'p':
      if (lent) fail_plainly("a lock was asked for that is lent already");
      *loan = begin(lendable, asked == 'p');
      return;
    /* What cannot be passed on is told as the child's end. To kill a child that nobody has waited for always succeeds. */
    case '\n':
      if (lent && send(loan->socket, "\n", 1, MSG_NOSIGNAL) != 1) kill(loan->child, SIGKILL);
      return;
    case 'e':
      if (lent) kill(loan->child, SIGKILL);
      return;
    default:
      fail_plainly("'%c' on stdin has no meaning", asked);
  }
}

void lend_lock(struct lendable lendable) {
  struct loan loan = {-1, -1};
  for (;;) {
    struct pollfd polled[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = loan.socket, .events = 0}};
    if (poll(polled, 2, -1) < 0) {
      if (errno == EINTR) continue;
      fail("cannot wait for what is asked on stdin");
    }
    if (polled[1].revents != 0) finish(&loan);
    if (polled[0].revents == 0) continue;
    char asked;
    ssize_t length = read(STDIN_FILENO, &asked, 1);
    /* The child ends with us. Whoever has gone without having read all that was said has reset the connection. */
    if (length == 0 || (length < 0 && errno == ECONNRESET)) return;
    if (length == 1) obey(asked, &loan, lendable);
    else if (errno != EINTR && errno != EAGAIN) fail("cannot read what is asked on stdin");
  }
}
