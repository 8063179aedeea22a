// What programs that embed a host do to it.
#define _GNU_SOURCE
#include "CTestSupport.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int test_fork_and_exit(void) {
    pid_t child = fork();
    if (child == 0) exit(0);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return status;
}

int test_fork_and_stay(void) {
    pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    return (int)child;
}

void test_ignore_children(void) { signal(SIGCHLD, SIG_IGN); }

static void *reap_everything(void *nothing) {
    for (;;) {
        if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD) usleep(200);
    }
    return nothing;
}

int test_reap_everything(void) {
    pthread_t thread;
    return pthread_create(&thread, NULL, reap_everything, NULL);
}

int test_has_zombies(void) {
    siginfo_t info = {0};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}
