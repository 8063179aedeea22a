// These definitions come before the C library's, for all code in the process.
#define _GNU_SOURCE
#include "CCounters.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

static _Atomic long allocations, locks;

long counted_allocations(void) { return allocations; }
long counted_locks(void) { return locks; }

#if defined(__GLIBC__)
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    allocations++;
    return __libc_realloc(memory, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    allocations++;
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t size) {
    allocations++;
    return __libc_memalign(alignment, size);
}

typedef int lock_function(pthread_mutex_t *);
static lock_function *real_lock;

int pthread_mutex_lock(pthread_mutex_t *mutex) {
    // Found at the first call, which may come before any constructor of ours.
    if (!real_lock) real_lock = (lock_function *)dlsym(RTLD_NEXT, "pthread_mutex_lock");
    locks++;
    return real_lock(mutex);
}
#endif
