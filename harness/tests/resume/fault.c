/* Preloaded into `sae`: counts its calls that change files under a path, and makes one of them fail.
 *
 * FAULT_PATH  part of the paths that count
 * FAULT_LOG   a file that gets a line for each call: its name and path
 * FAULT_AT    which call fails, from 1
 * FAULT_KIND  an errno, or -1: a write of half the bytes (other calls pass), or -2: SIGKILL before the call,
 *             or -3: SIGKILL in the middle of a write (other calls: before them)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define FILES 4096
static char *opened[FILES];
static long calls;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int counts(const char *path) {
    const char *part = getenv("FAULT_PATH");
    return path && part && strstr(path, part) != NULL;
}

/* What is to happen to this call: 0 nothing. */
static int fault(const char *name, const char *path) {
    const char *log = getenv("FAULT_LOG"), *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND");
    if (!counts(path))
        return 0;
    calls++;
    if (log) {
        char line[8192];
        int saved = errno, file = REAL(open64)(log, O_WRONLY | O_APPEND | O_CREAT, 0644);
        int length = snprintf(line, sizeof line, "%s %s\n", name, path);
        if (file >= 0) {
            if (REAL(write)(file, line, length) < 0) {}
            REAL(close)(file);
        }
        errno = saved;
    }
    if (!at || !kind || calls != atol(at))
        return 0;
    int what = atoi(kind);
    if (what == -2 || (what == -3 && strcmp(name, "write") != 0))
        raise(SIGKILL);
    return what;
}

/* An errno is returned as a failure. */
#define FAIL(name, path, value)              \
    do {                                     \
        int what = fault(name, path);        \
        if (what > 0) {                      \
            errno = what;                    \
            return value;                    \
        }                                    \
    } while (0)

static int opening(const char *path, int flags, int mode, int (*open_it)(const char *, int, ...)) {
    /* Only what may change a file or is a folder to be synced; reading is another matter. */
    int changes = (flags & O_ACCMODE) != O_RDONLY;
    if (changes)
        FAIL("open", path, -1);
    int file = open_it(path, flags, mode);
    if (file >= 0 && file < FILES) {
        free(opened[file]);
        opened[file] = counts(path) ? strdup(path) : NULL;
    }
    return file;
}

int open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    int mode = va_arg(list, int);
    va_end(list);
    return opening(path, flags, mode, REAL(open));
}

int open64(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    int mode = va_arg(list, int);
    va_end(list);
    return opening(path, flags, mode, REAL(open64));
}

static const char *path_of(int file) { return file >= 0 && file < FILES ? opened[file] : NULL; }

ssize_t write(int file, const void *bytes, size_t count) {
    int what = fault("write", path_of(file));
    if (what > 0) {
        errno = what;
        return -1;
    }
    if (what == -1 && count > 1)
        return REAL(write)(file, bytes, count / 2);
    if (what == -3) {
        if (REAL(write)(file, bytes, count / 2) < 0) {}
        raise(SIGKILL);
    }
    return REAL(write)(file, bytes, count);
}

int fsync(int file) {
    FAIL("fsync", path_of(file), -1);
    return REAL(fsync)(file);
}

int close(int file) {
    if (file >= 0 && file < FILES) {
        free(opened[file]);
        opened[file] = NULL;
    }
    return REAL(close)(file);
}

int rename(const char *from, const char *to) {
    FAIL("rename", to, -1);
    return REAL(rename)(from, to);
}

int mkdir(const char *path, mode_t mode) {
    FAIL("mkdir", path, -1);
    return REAL(mkdir)(path, mode);
}

int unlink(const char *path) {
    FAIL("unlink", path, -1);
    return REAL(unlink)(path);
}

int ftruncate64(int file, off64_t length) {
    FAIL("ftruncate", path_of(file), -1);
    return REAL(ftruncate64)(file, length);
}

DIR *opendir(const char *path) {
    FAIL("opendir", path, NULL);
    return REAL(opendir)(path);
}
