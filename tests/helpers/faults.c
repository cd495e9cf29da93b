/* For LD_PRELOAD: makes one of the system calls for files fail, or ends the process at it. Calls are
 * counted in all threads after `faults_arm`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KILL_BEFORE = -1, KILL_AFTER = -2 };

static atomic_long counted;
static long at = -1;
static int what;

/* Make the `step`-th call from now on fail with `error`, or kill the process before or after it. */
void faults_arm(long step, int error) {
    atomic_store(&counted, 0);
    what = error;
    at = step;
}

long faults_count(void) { return atomic_load(&counted); }

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int is_mine(void) { return at >= 0 && atomic_fetch_add(&counted, 1) + 1 == at; }

#define CALL(type, name, parameters, arguments, failed)                \
    type name parameters {                                             \
        static type(*real) parameters;                                 \
        if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name); \
        const int mine = is_mine();                                    \
        if (mine && what == KILL_BEFORE) die();                        \
        if (mine && what > 0) {                                        \
            errno = what;                                              \
            return failed;                                             \
        }                                                              \
        const type result = real arguments;                            \
        if (mine && what == KILL_AFTER) die();                         \
        return result;                                                 \
    }

CALL(ssize_t, pwrite64, (int fd, const void *data, size_t count, off64_t offset),
     (fd, data, count, offset), -1)
CALL(ssize_t, preadv64, (int fd, const struct iovec *parts, int count, off64_t offset),
     (fd, parts, count, offset), -1)
CALL(int, ftruncate64, (int fd, off64_t size), (fd, size), -1)
CALL(int, posix_fallocate64, (int fd, off64_t offset, off64_t size), (fd, offset, size), what)
CALL(int, fsync, (int fd), (fd), -1)
CALL(int, flock, (int fd, int operation), (fd, operation), -1)
CALL(int, link, (const char *from, const char *to), (from, to), -1)
CALL(int, linkat, (int in, const char *from, int to_in, const char *to, int flags),
     (in, from, to_in, to, flags), -1)
CALL(int, rename, (const char *from, const char *to), (from, to), -1)
CALL(int, unlink, (const char *path), (path), -1)
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), -1)
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
CALL(int, fchown, (int fd, uid_t user, gid_t group), (fd, user, group), -1)
CALL(int, rmdir, (const char *path), (path), -1)
CALL(int, stat64, (const char *path, struct stat64 *found), (path, found), -1)
CALL(int, lstat64, (const char *path, struct stat64 *found), (path, found), -1)
CALL(int, fstat64, (int fd, struct stat64 *found), (fd, found), -1)
CALL(int, statvfs64, (const char *path, struct statvfs64 *found), (path, found), -1)
CALL(ssize_t, readlink, (const char *path, char *found, size_t size), (path, found, size), -1)
/* A close that fails has closed the file too. */
CALL(int, close, (int fd), (fd), real(fd) - 1)

int open64(const char *path, int flags, ...) {
    static int (*real)(const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    const int mine = is_mine();
    if (mine && what == KILL_BEFORE) die();
    if (mine && what > 0) {
        errno = what;
        return -1;
    }
    const int result = real(path, flags, mode);
    if (mine && what == KILL_AFTER) die();
    return result;
}
