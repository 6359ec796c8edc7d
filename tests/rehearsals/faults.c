/* Faults of a machine, put before libc by LD_PRELOAD: disks that take long, and a clock that is wrong.
 *
 * The directory FAULTS has the files fsync_ms, by how much longer each fsync takes, and clock_ms, by how much the clock
 * of the world is ahead (negative: behind). What is missing is 0. Files are read again five times a second at most.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000LL
#define NS_PER_S 1000000000LL
#define KEPT_NS (200 * NS_PER_MS)

typedef int (*clock_function)(clockid_t, struct timespec *);
typedef int (*sync_function)(int);

static int real_clock(clockid_t id, struct timespec *at) {
    static clock_function found;
    if (!found) found = (clock_function)dlsym(RTLD_NEXT, "clock_gettime");
    return found(id, at);
}

struct number {
    const char *name;
    long long value;
    long long read_at_ns;
};

static long long read_number(struct number *number) {
    struct timespec at;
    real_clock(CLOCK_MONOTONIC, &at);
    long long now_ns = at.tv_sec * NS_PER_S + at.tv_nsec;
    if (number->read_at_ns && now_ns - number->read_at_ns < KEPT_NS) return number->value;
    number->read_at_ns = now_ns;
    const char *directory = getenv("FAULTS");
    char path[4096], text[32] = {0};
    snprintf(path, sizeof path, "%s/%s", directory ? directory : "", number->name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return number->value = 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return number->value = length > 0 ? atoll(text) : 0;
}

static long long ahead_ns(void) {
    static struct number number = {"clock_ms", 0, 0};
    return read_number(&number) * NS_PER_MS;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    int failed = real_clock(id, at);
    if (failed || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) return failed;
    long long ns = at->tv_sec * NS_PER_S + at->tv_nsec + ahead_ns();
    at->tv_sec = ns / NS_PER_S;
    at->tv_nsec = ns % NS_PER_S;
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    if (failed) return failed;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

static void wait_longer(void) {
    static struct number number = {"fsync_ms", 0, 0};
    long long ns = read_number(&number) * NS_PER_MS;
    struct timespec wait = {ns / NS_PER_S, ns % NS_PER_S};
    if (ns > 0) nanosleep(&wait, NULL);
}

int fsync(int file) {
    wait_longer();
    return ((sync_function)dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
    wait_longer();
    return ((sync_function)dlsym(RTLD_NEXT, "fdatasync"))(file);
}
