/* Loaded before the C library: tells, in the order in which it happens, what a process writes below a directory, what of it
 * it puts on disk, and what it renames and removes. A line each, into a file that nobody else writes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Of a small file, to know what it says. */
#define SHOWN 64

static int out = -1;
static const char *below;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("OUTRIGGER_TOLD");
  below = getenv("OUTRIGGER_TOLD_BELOW");
  if (path != NULL && below != NULL)
    out = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* One write of an appending file is one line, whoever else writes. */
static void tell(const char *format, ...) {
  char line[3 * PATH_MAX];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (length > 0 && syscall(SYS_write, out, line, (size_t)length) != length) abort();
}

static int is_below(const char *path) { return out >= 0 && strncmp(path, below, strlen(below)) == 0; }

/* The path of a descriptor, where it is below the directory. */
static int named(int fd, char *path) {
  char link[64];
  if (out < 0 || fd == out) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_below(path);
}

static long long size(int fd) {
  struct stat stat;
  return fstat(fd, &stat) == 0 ? (long long)stat.st_size : -1;
}

static void wrote(int fd, const void *data, ssize_t done) {
  char path[PATH_MAX], shown[SHOWN + 1];
  int errno_before = errno;
  if (done > 0 && named(fd, path)) {
    size_t length = data != NULL && done <= SHOWN ? (size_t)done : 0;
    memcpy(shown, data, length);
    while (length > 0 && (unsigned char)shown[length - 1] <= ' ') length--;
    shown[length] = 0;
    for (size_t at = 0; at < length; at++)
      if (shown[at] < ' ' || shown[at] > '~') shown[at] = '?';
    tell("wrote\t%ld\t%s\t%lld\t%s\n", (long)syscall(SYS_gettid), path, size(fd), shown);
  }
  errno = errno_before;
}

static int synced(int fd, int result) {
  char path[PATH_MAX];
  int errno_before = errno;
  if (result == 0 && named(fd, path))
    tell("synced\t%ld\t%s\t%lld\t\n", (long)syscall(SYS_gettid), path, size(fd));
  errno = errno_before;
  return result;
}

ssize_t write(int fd, const void *data, size_t length) {
  ssize_t done = syscall(SYS_write, fd, data, length);
  wrote(fd, data, done);
  return done;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
  ssize_t done = syscall(SYS_pwrite64, fd, data, length, at);
  wrote(fd, NULL, done);
  return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }

ssize_t writev(int fd, const struct iovec *data, int count) {
  ssize_t done = syscall(SYS_writev, fd, data, count);
  wrote(fd, NULL, done);
  return done;
}

int fsync(int fd) { return synced(fd, (int)syscall(SYS_fsync, fd)); }

int fdatasync(int fd) { return synced(fd, (int)syscall(SYS_fdatasync, fd)); }

int rename(const char *from, const char *to) {
  /* Told before it is seen: who finds the new name may act on it at once. */
  if (is_below(to)) tell("renames\t%ld\t%s\t0\t%s\n", (long)syscall(SYS_gettid), from, to);
  return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path) {
  if (is_below(path)) tell("removes\t%ld\t%s\t0\t\n", (long)syscall(SYS_gettid), path);
  return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* Removing a whole directory works by descriptors. */
int unlinkat(int fd, const char *name, int flags) {
  char path[PATH_MAX];
  if (fd >= 0 && named(fd, path)) tell("removes\t%ld\t%s/%s\t0\t\n", (long)syscall(SYS_gettid), path, name);
  return (int)syscall(SYS_unlinkat, fd, name, flags);
}
