/* What a disk keeps when the power fails: the bytes of a file as of its last fsync, the names of a folder as of its own.
 *
 * Preloaded into a program that keeps its files under POWER_CUT_ROOT. Whatever it syncs is copied into POWER_CUT_KEPT, by
 * inode and time of birth, since inodes are used again: `data/<key>` for a file, `names/<key>` for a folder. Ranges that were
 * written since the last sync are noted, so that a sync costs what it syncs. sync_file_range is no sync: it writes no
 * metadata, and waits for no disk cache (sync_file_range(2)). */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct range {
    struct range *next;
    dev_t dev;
    ino_t ino;
    off_t from, to; /* to < 0: all of it */
};

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct range *written;

static void note(int fd, off_t from, off_t to) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return;
    struct range *range = malloc(sizeof *range);
    if (!range) abort();
    *range = (struct range){NULL, st.st_dev, st.st_ino, from, to};
    pthread_mutex_lock(&lock);
    range->next = written;
    written = range;
    pthread_mutex_unlock(&lock);
}

static int key_of(int fd, const char *name, char *key, size_t size, mode_t *mode) {
    struct statx sx;
    int flags = name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH;
    if (statx(fd, name ? name : "", flags, STATX_BASIC_STATS | STATX_BTIME, &sx) != 0) return -1;
    *mode = sx.stx_mode;
    return snprintf(key, size, "%llu-%lld.%09u", (unsigned long long)sx.stx_ino, (long long)sx.stx_btime.tv_sec,
                    sx.stx_btime.tv_nsec);
}

static void copy(int from, int to, off_t at, off_t end) {
    static __thread char buffer[1 << 16];
    while (at < end) {
        size_t want = end - at < (off_t)sizeof buffer ? (size_t)(end - at) : sizeof buffer;
        ssize_t n = pread(from, buffer, want, at);
        if (n <= 0) return;
        if (REAL(pwrite64)(to, buffer, (size_t)n, at) != n) abort();
        at += n;
    }
}

static void keep_file(int fd, const char *kept, const char *key) {
    struct stat st;
    if (fstat(fd, &st) != 0) return;
    char path[PATH_MAX + 64], self[64];
    snprintf(path, sizeof path, "%s/data/%s", kept, key);
    int is_new = access(path, F_OK) != 0;
    int to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (to < 0) abort();
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int from = open(self, O_RDONLY | O_CLOEXEC);
    if (from < 0) abort();
    pthread_mutex_lock(&lock);
    for (struct range **at = &written; *at;) {
        struct range *range = *at;
        if (range->dev != st.st_dev || range->ino != st.st_ino) {
            at = &range->next;
            continue;
        }
        if (range->to < 0) is_new = 1;
        if (!is_new) copy(from, to, range->from, range->to);
        *at = range->next;
        free(range);
    }
    if (is_new) copy(from, to, 0, st.st_size);
    if (REAL(ftruncate64)(to, st.st_size) != 0) abort();
    pthread_mutex_unlock(&lock);
    close(from);
    close(to);
}

static void keep_names(const char *folder, const char *kept, const char *key) {
    char path[PATH_MAX + 64], draft[PATH_MAX + 72];
    snprintf(path, sizeof path, "%s/names/%s", kept, key);
    snprintf(draft, sizeof draft, "%s.draft", path);
    DIR *names = opendir(folder);
    FILE *out = names ? fopen(draft, "we") : NULL;
    if (!out) abort();
    for (struct dirent *entry; (entry = readdir(names));) {
        char name_key[128];
        mode_t mode;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (key_of(dirfd(names), entry->d_name, name_key, sizeof name_key, &mode) < 0) continue;
        fprintf(out, "%s %s\n", name_key, entry->d_name);
    }
    fclose(out);
    closedir(names);
    if (rename(draft, path) != 0) abort();
}

static void keep(int fd) {
    const char *root = getenv("POWER_CUT_ROOT"), *kept = getenv("POWER_CUT_KEPT");
    char self[64], path[PATH_MAX], key[128];
    mode_t mode;
    if (!root || !kept) return;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(self, path, sizeof path - 1);
    if (n <= 0) return;
    path[n] = 0;
    if (strncmp(path, root, strlen(root)) != 0) return;
    if (key_of(fd, NULL, key, sizeof key, &mode) < 0) return;
    if (S_ISREG(mode)) keep_file(fd, kept, key);
    if (S_ISDIR(mode)) keep_names(path, kept, key);
}

int fsync(int fd) {
    keep(fd);
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    keep(fd);
    return REAL(fdatasync)(fd);
}

/* Noted once it is written: a sync in between has it the next time, as a disk may. */

ssize_t pwrite(int fd, const void *from, size_t size, off_t at) {
    ssize_t n = REAL(pwrite)(fd, from, size, at);
    if (n > 0) note(fd, at, at + (off_t)n);
    return n;
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
    ssize_t n = REAL(pwrite64)(fd, from, size, at);
    if (n > 0) note(fd, (off_t)at, (off_t)(at + n));
    return n;
}

ssize_t write(int fd, const void *from, size_t size) {
    ssize_t n = REAL(write)(fd, from, size);
    if (n > 0) note(fd, 0, -1);
    return n;
}

int ftruncate(int fd, off_t size) {
    int done = REAL(ftruncate)(fd, size);
    note(fd, 0, -1);
    return done;
}

int ftruncate64(int fd, off64_t size) {
    int done = REAL(ftruncate64)(fd, size);
    note(fd, 0, -1);
    return done;
}
