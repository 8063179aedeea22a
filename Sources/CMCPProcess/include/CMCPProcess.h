// The few system calls of process launching that Swift cannot make itself.
#ifndef CMCPPROCESS_H
#define CMCPPROCESS_H

#include <stdint.h>
#include <sys/types.h>
#if defined(__linux__)
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif

/// Starts `path` with posix_spawn: in a process group of its own, with default signal dispositions and an empty signal mask, with
/// `in`, `out`, `err` as descriptors 0, 1, 2 and no other descriptor of this process. `cwd` may be NULL.
/// Returns 0 and sets `pid`, or an errno.
int mcp_spawn(const char *path, char *const argv[], char *const envp[], const char *cwd, int in, int out, int err, pid_t *pid);

/// A pipe whose ends are not inherited. Returns 0 or an errno.
int mcp_pipe(int ends[2]);

/// Makes a descriptor non-blocking. Returns 0 or an errno.
int mcp_set_nonblocking(int fd);

/// A descriptor that becomes readable when the process ends, or -1 (errno) where the system has none.
int mcp_pidfd_open(pid_t pid);

/// Ignores SIGPIPE for this process if nobody has said otherwise: a write to a dead server must be an error, not the end.
void mcp_ignore_sigpipe(void);

#endif
