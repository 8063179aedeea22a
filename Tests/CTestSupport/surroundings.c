// What holds for all tests. Set before `main`, since nobody knows which test comes first; a process that a test starts (an exit test, a
// program) inherits it.
//
// They have a state directory of their own: they neither see nor touch what this user's hosts have written down.
//
// Sixteen run at a time. Swift Testing would start all of them at once, with several hundred servers: on a slow machine each waits half a
// minute for its turn then, and limits pass that are generous for everybody who is not one of hundreds.
#define _GNU_SOURCE
#include "CTestSupport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <ftw.h>
#include <sys/inotify.h>
#endif

static const char prefix[] = "/tmp/mcp-tests-state-";
static char folder[64];
static pid_t owner;

#if defined(__linux__)
static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info, (void)kind, (void)place;
    return remove(path);
}
#endif

static void remove_folder(void) {
    // Not in a forked child, and not what was inherited.
    if (getpid() != owner) return;
#if defined(__linux__)
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
#endif
}

__attribute__((constructor)) static void set_state_folder(void) {
    const char *inherited = getenv("MCP_HOST_STATE");
    if (inherited && !strncmp(inherited, prefix, sizeof prefix - 1)) return;
    snprintf(folder, sizeof folder, "%sXXXXXX", prefix);
    if (!mkdtemp(folder)) return;
    owner = getpid();
    setenv("MCP_HOST_STATE", folder, 1);
    atexit(remove_folder);
}

__attribute__((constructor)) static void limit_width(void) { setenv("SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH", "16", 0); }

int test_state_is_own(void) {
    const char *path = getenv("MCP_HOST_STATE");
    return path && !strncmp(path, prefix, sizeof prefix - 1);
}

int test_watch_descriptor(void) {
#if defined(__linux__)
    return inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
#else
    return -1;
#endif
}

int test_watch_folder(int descriptor, const char *path) {
#if defined(__linux__)
    return inotify_add_watch(descriptor, path, IN_MODIFY | IN_CREATE);
#else
    (void)descriptor, (void)path;
    return -1;
#endif
}

void test_unwatch_folder(int descriptor, int number) {
#if defined(__linux__)
    inotify_rm_watch(descriptor, number);
#else
    (void)descriptor, (void)number;
#endif
}
