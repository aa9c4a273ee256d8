#define _GNU_SOURCE
#include "program.h"

#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

static void write_complaint(int fd, int error, const char *format, va_list values) {
  char message[1024], cause[128] = "";
  if (vsnprintf(message, sizeof message, format, values) < 0) message[0] = '\0';
  if (error != 0) {
    const char *name = strerrorname_np(error);
    snprintf(cause, sizeof cause, " (%s): %s", name == NULL ? "?" : name, strerror(error));
  }
  /* One write, unbuffered: lines of several processes that share a stderr must not mix. */
  dprintf(fd, "%s: %s%s\n", program_name, message, cause);
}

void complain(int fd, int error, const char *format, ...) {
  va_list values;
  va_start(values, format);
  write_complaint(fd, error, format, values);
  va_end(values);
}

_Noreturn void fail(const char *format, ...) {
  va_list values;
  va_start(values, format);
  write_complaint(STDERR_FILENO, errno, format, values);
  _exit(EXIT_FAILED);
}

_Noreturn void fail_plainly(const char *format, ...) {
  va_list values;
  va_start(values, format);
  write_complaint(STDERR_FILENO, 0, format, values);
  _exit(EXIT_FAILED);
}

_Noreturn void fail_usage(const char *format, ...) {
  va_list values;
  va_start(values, format);
  write_complaint(STDERR_FILENO, 0, format, values);
  _exit(EXIT_USAGE);
}

int exit_status_of(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : EXIT_SIGNALED + WTERMSIG(wait_status);
}

bool write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = TEMP_FAILURE_RETRY(write(fd, bytes, length));
    if (written < 0) return false;
    bytes += written;
    length -= (size_t)written;
  }
  return true;
}

bool write_line(int fd, const char *format, ...) {
  char line[512];
  va_list values;
  va_start(values, format);
  int length = vsnprintf(line, sizeof line, format, values);
  va_end(values);
  if (length < 0) return false;
  size_t size = (size_t)length;
  if (size >= sizeof line) {
    size = sizeof line - 1;
    line[size - 1] = '\n';
  }
  return write_all(fd, line, size);
}

long parse_number(const char *text, long least, long most, const char *what) {
  char *rest;
  errno = 0;
  long number = strtol(text, &rest, 10);
  if (errno != 0 || rest == text || *rest != '\0' || number < least || number > most) {
    fail_usage("%s is a number from %ld to %ld, not '%s'", what, least, most, text);
  }
  return number;
}

const char *option_value(char ***arguments) {
  const char *option = **arguments;
  (*arguments)++;
  if (**arguments == NULL) fail_usage("%s needs a value", option);
  return **arguments;
}
