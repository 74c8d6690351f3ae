/* Preloaded into a process: its wall clock is ahead by the seconds that a mapped file says, as on a machine whose
 * time is set. Its monotonic clock is as it is, and waits that are given as a time of day end when they should.
 *
 * STEPPED_CLOCK names the file: eight bytes, a signed number in the machine's order.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

/* Monotonic clocks count from the machine's start: what is beyond this is a time of day. */
#define TIME_OF_DAY 1000000000

static const volatile int64_t *ahead_by;
static const int64_t nothing = 0;

__attribute__((constructor)) static void map(void) {
    const char *name = getenv("STEPPED_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof nothing, PROT_READ, MAP_SHARED, file, 0);
    ahead_by = mapped == MAP_FAILED ? &nothing : mapped;
    if (file >= 0)
        close(file);
}

static time_t ahead(void) { return ahead_by ? *ahead_by : 0; }

/* The next definition, of the version that programs are linked to today. */
#define NEXT(name) \
    static typeof(name) *next; \
    if (!next && !(next = dlvsym(RTLD_NEXT, #name, "GLIBC_2.34")) && !(next = dlvsym(RTLD_NEXT, #name, "GLIBC_2.3.2"))) \
        next = dlsym(RTLD_NEXT, #name)

static struct timespec until(const struct timespec *when) {
    struct timespec real = *when;
    if (real.tv_sec > TIME_OF_DAY)
        real.tv_sec -= ahead();
    return real;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    NEXT(clock_gettime);
    int failed = next(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += ahead();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    NEXT(gettimeofday);
    int failed = next(now, zone);
    if (!failed)
        now->tv_sec += ahead();
    return failed;
}

time_t time(time_t *now) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (now)
        *now = at.tv_sec;
    return at.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0;
}

#define WAIT(name, first, second) \
    NEXT(name); \
    struct timespec real = until(when); \
    return next(first, second, &real)

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict when) {
    WAIT(pthread_cond_timedwait, cond, mutex);
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict when) {
    WAIT(cnd_timedwait, cond, mutex);
}

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                           const struct timespec *when) {
    NEXT(pthread_cond_clockwait);
    struct timespec real = until(when);
    return next(cond, mutex, clock, &real);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict when) {
    NEXT(sem_timedwait);
    struct timespec real = until(when);
    return next(semaphore, &real);
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict when) {
    NEXT(sem_clockwait);
    struct timespec real = until(when);
    return next(semaphore, clock, &real);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict when) {
    NEXT(pthread_mutex_timedlock);
    struct timespec real = until(when);
    return next(mutex, &real);
}
