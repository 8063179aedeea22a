// The few system calls of process launching and process listing that Swift cannot make itself, shared with mcp-guard.
#ifndef CMCPPROCESS_H
#define CMCPPROCESS_H

#include <stdint.h>
#include <sys/types.h>
#if defined(__linux__)
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif

/// Starts `path` with posix_spawn: in a process group of its own, with default signal dispositions and an empty signal mask, with
/// `in`, `out`, `err` as descriptors 0, 1, 2, `control` as descriptor 3 unless it is -1, and no other descriptor of this process.
/// `cwd` may be NULL. Returns 0 and sets `pid`, or an errno.
int mcp_spawn(const char *path, char *const argv[], char *const envp[], const char *cwd, int in, int out, int err, int control, pid_t *pid);

/// A pipe whose ends are not inherited. Returns 0 or an errno.
int mcp_pipe(int ends[2]);

/// A pair of connected stream sockets that are not inherited. Returns 0 or an errno.
int mcp_socket_pair(int ends[2]);

/// Writes to a socket without ever raising SIGPIPE. Returns the count, or -1 (errno).
ssize_t mcp_send(int socket, const void *bytes, size_t count);

/// Makes a descriptor non-blocking. Returns 0 or an errno.
int mcp_set_nonblocking(int fd);

/// A descriptor that becomes readable when the process ends, or -1 (errno) where the system has none.
int mcp_pidfd_open(pid_t pid);

/// Ignores SIGPIPE for this process if nobody has said otherwise: a write to a dead server must be an error, not the end.
void mcp_ignore_sigpipe(void);

/// One process, as the system tells of it. `pid` and `start` together name it for as long as the machine runs: a number alone may
/// belong to somebody else tomorrow (E18).
struct mcp_process {
    pid_t pid, parent, group, session;
    /// Z for a zombie.
    char state;
    /// Its descriptors may be closed already; its exit status is not there yet.
    char is_exiting;
    /// Linux: clock ticks since boot. Darwin: microseconds since 1970.
    uint64_t start;
};

/// Looks at one process. Returns 0, or ESRCH when there is none.
int mcp_process_read(pid_t pid, struct mcp_process *process);

/// All processes that can be seen; free the list. Returns the count, or -1 when the system does not tell.
ssize_t mcp_process_list(struct mcp_process **list);

/// The living descendants of a process, zombies and itself left out; free the list. Returns the count, or -1.
ssize_t mcp_process_descendants(pid_t root, struct mcp_process **list);

/// Sends a signal to exactly this process: to nobody when its number has passed on meanwhile. Returns 0 or an errno.
int mcp_process_signal(const struct mcp_process *process, int signal);

/// What mcp-guard tells its host, in order: MCP_GUARD_STARTED or MCP_GUARD_REFUSED; when the server has ended, one
/// MCP_GUARD_DESCENDANT for each process that it left, then MCP_GUARD_ENDED.
struct mcp_guard_event {
    int32_t kind;
    /// A pid, an errno, or a wait status.
    int32_t value;
};
enum { MCP_GUARD_STARTED = 'S', MCP_GUARD_REFUSED = 'R', MCP_GUARD_DESCENDANT = 'D', MCP_GUARD_ENDED = 'E' };

/// What the host tells mcp-guard, one byte each: start the server; SIGTERM to all of it; SIGKILL to all of it.
enum { MCP_GUARD_GO = 'G', MCP_GUARD_TERMINATE = 'T', MCP_GUARD_KILL = 'K' };

#endif
