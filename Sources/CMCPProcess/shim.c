#define _GNU_SOURCE
#include "CMCPProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

int mcp_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]) {
    int failure, left = 100;
    while ((failure = posix_spawn(pid, path, actions, attributes, argv, envp)) == ETXTBSY && left-- > 0) poll(NULL, 0, 10);
    return failure;
}

int mcp_spawn(const char *path, char *const argv[], char *const envp[], const char *cwd, int in, int out, int err, int control, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int failure = posix_spawn_file_actions_init(&actions);
    if (failure) return failure;
    failure = posix_spawnattr_init(&attributes);
    if (failure) {
        posix_spawn_file_actions_destroy(&actions);
        return failure;
    }

    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
#if defined(__APPLE__)
    flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
#endif
    if (!failure) failure = posix_spawnattr_setflags(&attributes, flags);
    if (!failure) failure = posix_spawnattr_setpgroup(&attributes, 0);
    if (!failure) failure = posix_spawnattr_setsigmask(&attributes, &none);
    if (!failure) failure = posix_spawnattr_setsigdefault(&attributes, &all);
    if (!failure && cwd) failure = posix_spawn_file_actions_addchdir_np(&actions, cwd);
    if (!failure) failure = posix_spawn_file_actions_adddup2(&actions, in, 0);
    if (!failure) failure = posix_spawn_file_actions_adddup2(&actions, out, 1);
    if (!failure) failure = posix_spawn_file_actions_adddup2(&actions, err, 2);
    if (!failure && control >= 0) failure = posix_spawn_file_actions_adddup2(&actions, control, 3);
#if defined(__GLIBC__)
#if __GLIBC_PREREQ(2, 34)
    // Also descriptors that somebody else in this process opened without O_CLOEXEC (D15).
    if (!failure) failure = posix_spawn_file_actions_addclosefrom_np(&actions, control >= 0 ? 4 : 3);
#endif
#endif
    if (!failure) failure = mcp_posix_spawn(pid, path, &actions, &attributes, argv, envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failure;
}

int mcp_peer_is_own(int socket) {
#if defined(__linux__)
    struct ucred who;
    socklen_t size = sizeof who;
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && who.uid == geteuid();
#else
    uid_t user;
    gid_t group;
    return getpeereid(socket, &user, &group) == 0 && user == geteuid();
#endif
}

ssize_t mcp_send(int socket, const void *bytes, size_t count) {
#if defined(__linux__)
    return send(socket, bytes, count, MSG_NOSIGNAL);
#else
    return send(socket, bytes, count, 0);
#endif
}

int mcp_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return errno;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : errno;
}

int mcp_pidfd_open(pid_t pid) {
#if defined(__linux__)
    return (int)syscall(SYS_pidfd_open, pid, 0);
#else
    (void)pid;
    errno = ENOSYS;
    return -1;
#endif
}

void mcp_ignore_sigpipe(void) {
    struct sigaction current;
    if (sigaction(SIGPIPE, NULL, &current) == 0 && current.sa_handler == SIG_DFL) {
        struct sigaction ignore;
        memset(&ignore, 0, sizeof ignore);
        ignore.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &ignore, NULL);
    }
}

enum mcp_child mcp_child_look(pid_t pid, int *status) {
    siginfo_t info;
    int result;
    memset(&info, 0, sizeof info);
    do result = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    while (result < 0 && errno == EINTR);
    if (result < 0) return MCP_CHILD_UNKNOWN;
    if (info.si_pid != pid) return MCP_CHILD_RUNS;
    *status = info.si_code == CLD_EXITED ? (info.si_status & 0xFF) << 8 : info.si_status;
    return MCP_CHILD_ENDED;
}

int mcp_child_wait(pid_t pid) {
    siginfo_t info;
    int result;
    do result = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    while (result < 0 && errno == EINTR);
    return result < 0 ? errno : 0;
}

int mcp_lock_file(int fd) {
    int result;
    do result = flock(fd, LOCK_EX | LOCK_NB);
    while (result < 0 && errno == EINTR);
    return result < 0 ? errno : 0;
}

// Descriptors that a forked child must not keep. The lock is held over `fork`, so the child finds the table whole.
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_handlers = PTHREAD_ONCE_INIT;
static int *kept;
static size_t kept_count, kept_room;
static int is_forked_child;

static void before_fork(void) { pthread_mutex_lock(&kept_lock); }
static void after_fork_in_parent(void) { pthread_mutex_unlock(&kept_lock); }
static void after_fork_in_child(void) {
    for (size_t i = 0; i < kept_count; i++) close(kept[i]);
    kept_count = 0;
    is_forked_child = 1;
    pthread_mutex_unlock(&kept_lock);
}

static void register_fork_handlers(void) { pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); }

static void lock_kept(void) {
    pthread_once(&fork_handlers, register_fork_handlers);
    pthread_mutex_lock(&kept_lock);
}

/// Under the lock.
static void keep(int fd) {
    if (kept_count == kept_room) {
        size_t room = kept_room ? kept_room * 2 : 64;
        int *more = realloc(kept, room * sizeof *more);
        if (more) {
            kept = more;
            kept_room = room;
        }
    }
    // Without memory for the entry a forked child keeps the descriptor, as it would have without this table.
    if (kept_count < kept_room) kept[kept_count++] = fd;
}

void mcp_close_in_forked_child(int fd) {
    lock_kept();
    keep(fd);
    pthread_mutex_unlock(&kept_lock);
}

/// Under the lock.
static void forget(int fd) {
    for (size_t i = kept_count; i-- > 0;) {
        if (kept[i] != fd) continue;
        kept[i] = kept[--kept_count];
        break;
    }
}

void mcp_close(int fd) {
    // Both under the lock: a fork in between would leave the descriptor open in a child that knows nothing of it (T5).
    lock_kept();
    forget(fd);
    close(fd);
    pthread_mutex_unlock(&kept_lock);
}

void mcp_will_close(int fd) {
    lock_kept();
    forget(fd);
    pthread_mutex_unlock(&kept_lock);
}

int mcp_is_forked_child(void) { return is_forked_child; }

/// Libraries in this process need a descriptor now and then, and Dispatch ends a program that has none when it looks at its threads. So
/// what is kept open for a server never takes the last few: its start fails instead, with an error that says why (T14, L11).
static int is_of_the_last(int fd) {
    const rlim_t spared = 8;
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)fd + spared >= limit.rlim_cur;
}

/// Both ends are closed again where one of them is of the last. Returns 0 or EMFILE.
static int spare_the_last(const int ends[2]) {
    if (!is_of_the_last(ends[0]) && !is_of_the_last(ends[1])) return 0;
    close(ends[0]);
    close(ends[1]);
    return EMFILE;
}

int mcp_pidfd_watch(pid_t pid) {
    int fd = mcp_pidfd_open(pid);
    if (fd < 0 || !is_of_the_last(fd)) return fd;
    close(fd);
    errno = EMFILE;
    return -1;
}

static int make_pipe(int ends[2]) {
#if defined(__linux__)
    return pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno;
#else
    // No pipe2 on Darwin; a child between the two calls inherits nothing because of POSIX_SPAWN_CLOEXEC_DEFAULT.
    if (pipe(ends) != 0) return errno;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return 0;
#endif
}

static int make_socket_pair(int ends[2]) {
#if defined(__linux__)
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : errno;
#else
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return errno;
    for (int i = 0; i < 2; i++) {
        int yes = 1;
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        setsockopt(ends[i], SOL_SOCKET, SO_NOSIGPIPE, &yes, sizeof yes);
    }
    return 0;
#endif
}

int mcp_pipe(int ends[2], int private_end) {
    lock_kept();
    int failure = make_pipe(ends);
    if (!failure) failure = spare_the_last(ends);
    if (!failure && private_end >= 0) keep(ends[private_end]);
    pthread_mutex_unlock(&kept_lock);
    return failure;
}

int mcp_socket_pair(int ends[2], int private_end) {
    lock_kept();
    int failure = make_socket_pair(ends);
    if (!failure) failure = spare_the_last(ends);
    if (!failure && private_end >= 0) keep(ends[private_end]);
    pthread_mutex_unlock(&kept_lock);
    return failure;
}

void mcp_name_thread(const char *name) {
#if defined(__APPLE__)
    pthread_setname_np(name);
#else
    pthread_setname_np(pthread_self(), name);
#endif
}

static _Thread_local int is_io_thread;

void mcp_begin_io_thread(void) { is_io_thread = 1; }

int mcp_is_io_thread(void) { return is_io_thread; }
