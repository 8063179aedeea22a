// What servers do with processes: helpers, daemons, chains, and attacks on their guard.
#define _GNU_SOURCE
#include "zoo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#endif

extern char **environ;

static void to_null(void) {
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3 && null >= 0; fd++) dup2(null, fd);
}

static void stay(const char *what) {
    note_text("child", what);
    for (;;) pause();
}

#if defined(__linux__)
/// The kernel clears it, and wakes who waits for it, when the main thread ends.
static atomic_int main_thread;

/// Not by `pthread_exit` and `pthread_join`, for which the sanitizers would need to know a main thread.
static void end_main_thread(void) { syscall(SYS_exit, 0); }

static void wait_for_main_thread(void) {
    for (int number; (number = atomic_load(&main_thread)) != 0;) syscall(SYS_futex, &main_thread, FUTEX_WAIT, number, NULL);
}
#else
static pthread_t main_thread;

static void end_main_thread(void) { pthread_exit(NULL); }

static void wait_for_main_thread(void) { pthread_join(main_thread, NULL); }
#endif

/// What goes on when the main thread has ended.
static void *outlive_main(void *nothing) {
    wait_for_main_thread();
    note_text("child", "threads");
    for (;;) pause();
    return nothing;
}

/// Forks twice, with a session in between. Returns 1 in the daemon, whose parent has gone, and 0 in the caller.
static int fork_daemon(void) {
    pid_t child = fork();
    if (child != 0) {
        waitpid(child, NULL, 0);
        return 0;
    }
    setsid();
    if (fork() != 0) _exit(0);
    return 1;
}

/// Becomes a process that has nothing of the server but its place among the processes.
static void forget_environment(void) {
    char *const words[] = {"mcp-zoo", "--rest", NULL}, *const nothing[] = {NULL};
    execve("/proc/self/exe", words, nothing);
    _exit(1);
}

/// A daemon of which nothing tells where it came from: neither parents, nor session, nor environment.
static void start_bare_daemon(void) {
    // Its `exec` closes the pipe: before that it could be found by its environment.
    int ends[2];
    if (pipe(ends) != 0) return;
    for (int i = 0; i < 2; i++) fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    if (!fork_daemon()) {
        char none;
        close(ends[1]);
        while (read(ends[0], &none, 1) < 0 && errno == EINTR) {}
        close(ends[0]);
        return;
    }
    note_text("child", "bare");
    to_null();
    forget_environment();
}

#if defined(__linux__)
/// A child of our parent, and a zombie at once.
void start_sibling(void) {
    if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0) {
        note_text("child", "sibling");
        _exit(0);
    }
}

/// The parent opens no file any more.
void starve_guard(void) {
    const struct rlimit none = {0, 0};
    note_text("child", prlimit(getppid(), RLIMIT_NOFILE, &none, NULL) == 0 ? "starved" : "refused");
}

/// Says in our parent's name that we have ended and left nothing, and then kills it.
void forge_guard(void) {
    const struct { int kind, value; } words[] = {{'E', 0}, {'C', 0}};
    int guard = (int)syscall(SYS_pidfd_open, getppid(), 0);
    int socket = (int)syscall(SYS_pidfd_getfd, guard, 3, 0);
    note_text("child", socket >= 0 ? "forged" : "refused");
    if (socket < 0) return;
    (void)!write(socket, words, sizeof words);
    kill(getppid(), SIGKILL);
    for (;;) pause();
}
#endif

/// Each link forks the next and exits, in a session of its own or not. In case nobody can end it, it gives up by itself when nobody looks
/// after it any more (the socket of `--alive` has lost its name), and after two minutes.
void start_chain(void) {
    if (fork() != 0) return;
    if (!habits.chain_stays) setsid();
    to_null();
    note_text("child", "chain");
    srand((unsigned)getpid());
    for (time_t start = time(NULL); time(NULL) - start < 120;) {
        if (habits.alive && access(habits.alive, F_OK) != 0) break;
        if (habits.chain_ms > 0) pause_ms(rand() % (habits.chain_ms + 1));
        if (fork() > 0) _exit(0);
    }
    _exit(0);
}

void start_stopper(void) {
    // Not before the guard has said that the server is there.
    habits.stop_guard = 0;
    pid_t guard = getppid();
    if (fork() != 0) return;
    to_null();
    note_text("child", "stopper");
    for (;;) {
        kill(guard, SIGSTOP);
        pause_ms(1);
    }
}

void start_helper(const char *how) {
    if (!strcmp(how, "bare")) return start_bare_daemon();
    if (fork() != 0) return;
    if (strcmp(how, "inherit") != 0) to_null();
    if (!strcmp(how, "session")) setsid();
    if (!strcmp(how, "nameless")) {
        note_text("child", how);
        forget_environment();
    }
    if (!strcmp(how, "threads")) {
        pthread_t thread;
#if defined(__linux__)
        atomic_store(&main_thread, (int)syscall(SYS_set_tid_address, &main_thread));
#else
        main_thread = pthread_self();
#endif
        if (pthread_create(&thread, NULL, outlive_main, NULL) != 0) _exit(1);
        end_main_thread();
    }
    stay(how);
}

void start_daemon(void) {
    if (!fork_daemon()) return;
    to_null();
    signal(SIGTERM, SIG_IGN);
    stay("daemon");
}

void start_tree(int depth) {
    if (depth == 0 || fork() != 0) return;
    to_null();
    start_tree(depth - 1);
    stay("tree");
}

void keep_alive_socket(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", habits.alive);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) perror("mcp-zoo: --alive");
}

void fill_stderr(void) {
    const char *shape = habits.stderr_shape ? habits.stderr_shape : "lines";
    char last = !strcmp(shape, "line") ? 'e' : !strcmp(shape, "cr") ? '\r' : '\n';
    for (long n = habits.stderr_bytes; n > 0; n--) fputc(n % 80 ? 'e' : last, stderr);
}
