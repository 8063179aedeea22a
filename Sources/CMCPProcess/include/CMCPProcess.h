// The few system calls of process launching and process listing that Swift cannot make itself, shared with mcp-guard.
#ifndef CMCPPROCESS_H
#define CMCPPROCESS_H

#include <spawn.h>
#include <stdint.h>
#include <sys/types.h>
#if defined(__linux__)
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif

/// posix_spawn, and once more while the program's file is open for writing: whoever writes a program and starts it meets that for as long as
/// any other start takes, whose child has the descriptor until its own `exec`. For up to a second, then ETXTBSY (B7).
int mcp_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);

/// Starts `path` with posix_spawn: in a process group of its own, with default signal dispositions and an empty signal mask, with
/// `in`, `out`, `err` as descriptors 0, 1, 2, `control` as descriptor 3 unless it is -1, and no other descriptor of this process.
/// `cwd` may be NULL. Returns 0 and sets `pid`, or an errno.
int mcp_spawn(const char *path, char *const argv[], char *const envp[], const char *cwd, int in, int out, int err, int control, pid_t *pid);

/// A pipe whose ends are not inherited. Returns 0 or an errno: EMFILE already when one of the last eight descriptors that this program may
/// open would be used, since others in it need one now and then. `private_end`, 0 or 1, is entered with mcp_close_in_forked_child before
/// any fork can see it; -1 for neither.
int mcp_pipe(int ends[2], int private_end);

/// A pair of connected stream sockets that are not inherited; as mcp_pipe.
int mcp_socket_pair(int ends[2], int private_end);

/// Whether the program at the other end of a local socket runs as the same user: 1 or 0.
int mcp_peer_is_own(int socket);

/// Writes to a socket without ever raising SIGPIPE. Returns the count, or -1 (errno).
ssize_t mcp_send(int socket, const void *bytes, size_t count);

/// Makes a descriptor non-blocking. Returns 0 or an errno.
int mcp_set_nonblocking(int fd);

/// A descriptor that becomes readable when the process ends, or -1 (errno): ESRCH when there is no such process, EMFILE and the like
/// when there is no room, ENOSYS or EPERM where the system or a sandbox has no such descriptors.
int mcp_pidfd_open(pid_t pid);

/// As mcp_pidfd_open, for a descriptor that stays open: EMFILE rather than one of the last, as mcp_pipe.
int mcp_pidfd_watch(pid_t pid);

/// What became of a child.
enum mcp_child { MCP_CHILD_RUNS, MCP_CHILD_ENDED, MCP_CHILD_UNKNOWN };

/// Asks whether a child has ended, and leaves it unreaped: its number still belongs to nobody else. `status` becomes its wait status.
/// MCP_CHILD_UNKNOWN: somebody else has reaped it (a `waitpid(-1)` in this program, or SIGCHLD is ignored).
enum mcp_child mcp_child_look(pid_t pid, int *status);

/// Blocks until a child has ended, and leaves it unreaped. Returns 0 or an errno (ECHILD: somebody else has reaped it).
int mcp_child_wait(pid_t pid);

/// Takes an exclusive lock on an open file, which the kernel releases with the last descriptor of this opening. Never blocks. Returns
/// 0; EWOULDBLOCK when somebody holds it; another errno where the file system has no locks.
int mcp_lock_file(int fd);

/// A child that this process makes with `fork`, without exec, closes this descriptor before it does anything else: it must neither keep
/// a server's input open nor hold the lock of our journal. Close it with mcp_close; or, where closing may block, say so just before.
void mcp_close_in_forked_child(int fd);
void mcp_close(int fd);
void mcp_will_close(int fd);

/// Whether this process was made with `fork`, without exec, by one that has called mcp_close_in_forked_child: what the parent looks after
/// is none of its business, and locks that were held at that moment stay held here for ever.
int mcp_is_forked_child(void);

/// Ignores SIGPIPE for this process if nobody has said otherwise: a write to a dead server must be an error, not the end.
void mcp_ignore_sigpipe(void);

/// One process, as the system tells of it. `pid` and `start` together name it for as long as the machine runs: a number alone may
/// belong to somebody else tomorrow (E18).
struct mcp_process {
    pid_t pid, parent, group, session;
    /// Z for a process of which nothing runs any more; one whose main thread has ended while others go on is R (T7).
    char state;
    /// Linux: how many threads it has, ended main thread included. 1 elsewhere.
    int threads;
    /// Its descriptors may be closed already; its exit status is not there yet.
    char is_exiting;
    /// The same, of its main thread alone.
    char main_is_exiting;
    /// Linux: clock ticks since boot. Darwin: microseconds since 1970.
    uint64_t start;
};

/// How a process was started: its arguments, each with a zero behind it, as many as there is room for. Returns the count of bytes; 0 where that is
/// not told.
size_t mcp_process_arguments(pid_t pid, char *bytes, size_t room);

/// Looks at one process. Returns 0; ESRCH when there is none; another errno (EMFILE, ENOMEM) when that cannot be told.
int mcp_process_read(pid_t pid, struct mcp_process *process);

/// How long a process has used the processor so far, in microseconds, itself and its children that were waited for; -1 when that cannot be told.
int64_t mcp_process_worked(pid_t pid);

/// What a process that shows no environment is at: it has none; it is in the middle of `exec` and will show one; or it is on its way out, has
/// given its memory back, and may have started another just before.
enum mcp_passage { MCP_PASSAGE_NONE, MCP_PASSAGE_EXEC, MCP_PASSAGE_END };

/// Looks at that. Returns 0 or an errno, as mcp_process_read does.
int mcp_process_passage(pid_t pid, enum mcp_passage *passage);

/// The numbers of all processes that can be seen, zombies too; free the list. Returns the count, or -1 (errno) when the system does not
/// tell of all: a look that failed is no proof that nobody is there.
ssize_t mcp_process_numbers(pid_t **list);

/// The living descendants of a process, zombies and itself left out; free the list. `missed`, if given, becomes 0 if these are all that
/// there were, a chain of processes that fork and exit included (T19); it takes a few looks then. Returns the count, or -1 (errno).
ssize_t mcp_process_descendants(pid_t root, struct mcp_process **list, int *missed);

/// Gives the calling thread a name of at most 15 bytes, for debuggers and profiles.
void mcp_name_thread(const char *name);

/// The calling thread is the one that serves the pipes of all servers.
void mcp_begin_io_thread(void);

/// Whether it is.
int mcp_is_io_thread(void);

/// Sends a signal to exactly this process: to nobody when its number has passed on meanwhile. Returns 0 or an errno.
int mcp_process_signal(const struct mcp_process *process, int signal);

/// What mcp-guard tells its host, in order: MCP_GUARD_STARTED or MCP_GUARD_REFUSED; when the server has ended, one
/// MCP_GUARD_DESCENDANT for each process that it left, then MCP_GUARD_ENDED; and as its last word, when nothing of the server is left,
/// MCP_GUARD_CLEAR. A guard that ends without that word was killed, and what its server had detached cannot be found any more (T18).
struct mcp_guard_event {
    int32_t kind;
    /// A pid, an errno, or a wait status.
    int32_t value;
};
enum { MCP_GUARD_STARTED = 'S', MCP_GUARD_REFUSED = 'R', MCP_GUARD_DESCENDANT = 'D', MCP_GUARD_ENDED = 'E', MCP_GUARD_CLEAR = 'C' };

/// What the host tells mcp-guard, one byte each: start the server; SIGTERM to all of it; SIGKILL to all of it.
enum { MCP_GUARD_GO = 'G', MCP_GUARD_TERMINATE = 'T', MCP_GUARD_KILL = 'K' };

#endif
