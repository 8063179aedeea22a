// mcp-guard: starts one MCP server, and sees to it that nothing of it outlives the host, however the host dies.
//
// A host starts this program instead of the server. The server gets the guard's standard input, output and error and speaks to the
// host directly; no byte passes through here. Between guard and host is a socket (descriptor 3). The guard ends
// when the server and all that it started have ended, never sooner and never later.
//
//   - The host closes: it ends the server rung by rung, through this guard (`T`, `K`), because only a parent can signal without the
//     danger of hitting a stranger: the number of a child that is not reaped belongs to nobody else (E18).
//   - The host dies, by SIGKILL too: the socket ends and so does the host's process descriptor. The server has had its end of input
//     by then; after a while comes SIGTERM, then SIGKILL, to all of it. Gone within 3 s (E15).
//   - "All of it" is, on Linux, the whole descent: the guard is a child subreaper, so whatever the server starts stays below it, in
//     whichever session (double-forked daemons too). Elsewhere it is the server's process group and what descends from the guard at
//     the moment of looking: a daemon that has left both is not found.
//
// One guard a server, not one for all: the kernel then keeps the books of who belongs to which server, no descriptor has to be passed
// on, and a guard that is killed exposes one server. Linked statically it costs 0.4 ms a start and 0.2 MB of its own memory
// (`Benchmarks/run.sh` measures both). No PDEATHSIG: it fires when the *thread* ends that spawned (E16).
#define _GNU_SOURCE
#include "CMCPProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#else
#include <sys/event.h>
#endif

extern char **environ;

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
// By default it sleeps for a second before it ends, and a guard is waited for.
const char *__tsan_default_options(void) { return "atexit_sleep_ms=0"; }
#elif __has_feature(address_sanitizer)
// The leak check at exit is a helper process that may wait for ever, and a guard is waited for.
const char *__asan_default_options(void) { return "detect_leaks=0"; }
#endif
#endif

/// What the host has said last, or what its death makes of it.
enum phase { SERVING, TERMINATING, KILLING };

static const int control = 3;
/// After the host's death: how long the server has after the end of its input, and again after SIGTERM.
static const long orphan_grace_ms = 700;

static volatile sig_atomic_t asked_to_end;
static pid_t server;
static int server_has_ended, keeps_daemons;
/// The last look did not see everybody, so it has to be repeated although nothing may tell of it.
static int looks_again;
/// Where the host keeps its process journal, and our server's name in it.
static const char *journal, *launch_mark;
static enum phase phase = SERVING;

static void on_signal(int signal) {
    if (signal != SIGCHLD) asked_to_end = 1;
}

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/// The host may be gone: then nobody listens, and that is not an error.
static void tell(int32_t kind, int32_t value) {
    struct mcp_guard_event event = {kind, value};
    (void)mcp_send(control, &event, sizeof event);
}

/// A descriptor that becomes readable when the host ends, or -1.
static int watch_host(pid_t host) {
#if defined(__linux__)
    return mcp_pidfd_open(host);
#else
    int queue = kqueue();
    struct kevent event;
    EV_SET(&event, host, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL);
    if (queue >= 0 && kevent(queue, &event, 1, NULL, 0, NULL) == 0) return queue;
    if (queue >= 0) close(queue);
    return -1;
#endif
}

/// The server in a process group of its own. Returns 0 or an errno.
static int start(const char *path, char *const argv[], const sigset_t *mask) {
    posix_spawnattr_t attributes;
    int failure = posix_spawnattr_init(&attributes);
    if (failure) return failure;
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, mask);
    failure = mcp_posix_spawn(&server, path, NULL, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    return failure;
}

/// What is left of the server, the server itself included while it lives. `missed`, if given: there may be more.
static ssize_t rest(struct mcp_process **list, int *missed) {
    ssize_t count = mcp_process_descendants(getpid(), list, missed);
    if (count <= 0 || !keeps_daemons) return count;
    ssize_t kept = 0;
    pid_t session = getsid(0);
    for (ssize_t i = 0; i < count; i++)
        if ((*list)[i].session == session) (*list)[kept++] = (*list)[i];
    return kept;
}

#if defined(__linux__)
/// The list of our children, open all the time: the server can forbid us from outside (`prlimit`) to open anything more.
static int children_list = -1;

/// SIGKILL to every direct child, as fast as can be: a chain of processes that fork and exit is caught only between two of its links
/// (T19). A plain `kill` by number is safe here: the number of a child that is not reaped belongs to nobody else, and only this
/// function's caller reaps.
static void kill_children(void) {
    char text[4096];
    ssize_t count = pread(children_list, text, sizeof text - 1, 0);
    if (count <= 0) return;
    text[count] = 0;
    pid_t session = getsid(0);
    char *next = text;
    for (;;) {
        char *end;
        long pid = strtol(next, &end, 10);
        // A number that the buffer has cut in two is not a child.
        if (end == next || *end != ' ') break;
        if (pid > 1 && (!keeps_daemons || getsid((pid_t)pid) == session)) kill((pid_t)pid, SIGKILL);
        next = end;
    }
}
#endif

static void signal_rest(int signal) {
#if defined(__linux__)
    if (signal == SIGKILL) kill_children();
#endif
    // At once for all that have not left the group; its number is safe while its leader is our child.
    if (!server_has_ended) kill(-server, signal);
    struct mcp_process *list = NULL;
    ssize_t count = rest(&list, NULL);
    for (ssize_t i = 0; i < count; i++)
        if (server_has_ended || list[i].group != server) mcp_process_signal(&list[i], signal);
    free(list);
}

static void enter(enum phase next) {
    if (next <= phase) return;
    phase = next;
    signal_rest(phase == KILLING ? SIGKILL : SIGTERM);
}

/// Reaps what has ended. Returns whether anything is left to look after.
static int reap(void) {
    int status = 0, ended_status = 0, has_just_ended = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != server || server_has_ended) continue;
        server_has_ended = has_just_ended = 1;
        ended_status = status;
    }
    int is_alone = pid < 0 && errno == ECHILD;
    struct mcp_process *list = NULL;
    int missed = 0;
    ssize_t count = is_alone || !server_has_ended ? 0 : rest(&list, keeps_daemons ? &missed : NULL);
    if (has_just_ended) {
        for (ssize_t i = 0; i < count; i++) tell(MCP_GUARD_DESCENDANT, list[i].pid);
        tell(MCP_GUARD_ENDED, ended_status);
    }
    free(list);
    // The orphans of what was just reaped are ours now, and may not have been there when the last signal was sent.
    if (phase == KILLING && !is_alone) signal_rest(SIGKILL);
    if (!server_has_ended) return 1;
    if (is_alone) return 0;
    looks_again = keeps_daemons && (missed || count < 0);
    return !keeps_daemons || count != 0 || looks_again;
}

/// Whether the host has ended, or is about to, which our server may know before us: by the end of its input.
static int host_is_gone(pid_t host) {
    struct mcp_process process;
    return getppid() != host || mcp_process_read(host, &process) != 0 || process.state == 'Z' || process.main_is_exiting;
}

/// The host is gone: the next host learns from its journal that nothing of this server is left. A guard that ends without having written
/// this was killed (T18). What a torn line is there stays on its own line.
static void note_end(void) {
    char line[128];
    int length = snprintf(line, sizeof line, "\n{\"ended\":\"%s\"}\n", launch_mark);
    int fd = open(journal, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return;
    if (length > 0 && (size_t)length < sizeof line) (void)!write(fd, line, (size_t)length);
    close(fd);
}

static int usage(void) {
    fputs("mcp-guard starts an MCP server for mcp-host and ends all of it when the host is gone.\n"
          "It is started by the host and of no use by itself.\n",
          stderr);
    return 64;
}

int main(int argc, char *argv[]) {
    // mcp-guard HOST-PID all|keep-daemons JOURNAL MARK PROGRAM ARGV0 [ARGUMENTS...]
    if (argc < 7 || fcntl(control, F_GETFD) < 0) return usage();
    pid_t host = atoi(argv[1]);
    keeps_daemons = strcmp(argv[2], "keep-daemons") == 0;
    journal = argv[3];
    launch_mark = argv[4];
    fcntl(control, F_SETFD, FD_CLOEXEC);

    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    const int handled[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal};
    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++) {
        sigaddset(&blocked, handled[i]);
        sigaction(handled[i], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &blocked, NULL);
#if defined(__linux__)
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    children_list = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    // The server is not to take our end of the socket from us and speak in our name (`pidfd_getfd`, `ptrace`); its own `exec` undoes this.
    prctl(PR_SET_DUMPABLE, 0);
#endif
    int host_end = watch_host(host);
    if (getppid() != host) {
        note_end();
        return 0;
    }

    char go = 0;
    ssize_t count;
    do count = read(control, &go, 1);
    while (count < 0 && errno == EINTR);
    if (count != 1 || go != MCP_GUARD_GO) {
        note_end();
        return 0;
    }

    int failure = start(argv[5], &argv[6], &none);
    if (failure) {
        tell(MCP_GUARD_REFUSED, failure);
        return 0;
    }
    // The pipes are the server's and the host's: nobody else may keep them open (E8, D14).
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++) null < 0 ? close(fd) : dup2(null, fd);
    if (null > 2) close(null);
    tell(MCP_GUARD_STARTED, server);

    int listens = 1;
    long deadline = -1;
    // After SIGKILL it looks again and again, fast at first: who forks faster than that may still run out of luck (T19).
    long killing_since = -1;
    while (reap()) {
        fd_set ready;
        if (phase == KILLING && killing_since < 0) killing_since = now_ms();
        FD_ZERO(&ready);
        if (listens) FD_SET(control, &ready);
        if (listens && host_end >= 0) FD_SET(host_end, &ready);
        long wait_ms = deadline < 0 ? -1 : deadline - now_ms();
        if (deadline >= 0 && wait_ms < 0) wait_ms = 0;
        if (phase == KILLING) wait_ms = now_ms() - killing_since < 10000 ? 2 : 200;
        else if (looks_again && (wait_ms < 0 || wait_ms > 20)) wait_ms = 20;
        struct timespec wait = {wait_ms / 1000, wait_ms % 1000 * 1000000};
        int events = pselect((host_end > control ? host_end : control) + 1, &ready, NULL, NULL, wait_ms < 0 ? NULL : &wait, &none);
        int is_lost = asked_to_end;
        asked_to_end = 0;
        if (events > 0 && FD_ISSET(control, &ready)) {
            char command = 0;
            count = read(control, &command, 1);
            if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) is_lost = 1;
            else if (command == MCP_GUARD_TERMINATE) enter(TERMINATING);
            else if (command == MCP_GUARD_KILL) enter(KILLING);
        } else if (events > 0 && host_end >= 0 && FD_ISSET(host_end, &ready)) {
            is_lost = 1;
        }
        if (is_lost && listens) {
            listens = 0;
            deadline = now_ms() + (server_has_ended ? 0 : orphan_grace_ms);
        } else if (deadline >= 0 && now_ms() >= deadline) {
            enter(phase == SERVING ? TERMINATING : KILLING);
            deadline = phase == KILLING ? -1 : now_ms() + orphan_grace_ms;
        }
    }
    tell(MCP_GUARD_CLEAR, 0);
    if (!listens || host_is_gone(host)) note_end();
    return 0;
}
