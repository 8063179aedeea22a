#define _GNU_SOURCE
#include "CMCPProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <dirent.h>
#include <sys/syscall.h>
#else
#include <libproc.h>
#include <sys/proc.h>
#include <sys/sysctl.h>
#endif

#if defined(__linux__)

static const unsigned is_exiting = 0x4, is_kernel_thread = 0x200000;  // PF_EXITING, PF_KTHREAD

/// The fields of `/proc/PID/stat` from the third on: the name in brackets may contain anything, so they are counted from its last bracket.
/// Returns 0 or an errno.
static int read_stat(pid_t pid, char *text, size_t room, char **fields) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? ESRCH : errno;
    ssize_t count = read(fd, text, room - 1);
    int failure = count < 0 ? errno : ESRCH;
    close(fd);
    *fields = NULL;
    if (count <= 0) return failure;
    text[count] = 0;
    char *bracket = strrchr(text, ')');
    if (!bracket) return EIO;
    *fields = bracket + 1;
    return 0;
}

int mcp_process_read(pid_t pid, struct mcp_process *process) {
    char text[1024], *fields;
    int failure = read_stat(pid, text, sizeof text, &fields);
    if (failure || !fields) return failure;
    int parent, group, session, threads;
    unsigned flags;
    unsigned long long start;
    char state;
    // 3 state, 4 ppid, 5 pgrp, 6 session, 9 flags, 20 threads, 22 start time
    if (sscanf(fields, " %c %d %d %d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %llu", &state, &parent, &group, &session,
               &flags, &threads, &start) != 7)
        return EIO;
    // State and flags are the main thread's. It may have called pthread_exit, and the process lives in its other threads (T7).
    int others_run = threads > 1;
    if (others_run && (state == 'Z' || state == 'X')) state = 'R';
    // Its parent is just reaping it: it is as dead as a zombie.
    if (state == 'X') state = 'Z';
    char main_is_exiting = (flags & is_exiting) != 0;
    *process = (struct mcp_process){
        .pid = pid,
        .parent = parent,
        .group = group,
        .session = session,
        .state = state,
        .threads = threads,
        .is_exiting = (char)(!others_run && main_is_exiting),
        .main_is_exiting = main_is_exiting,
        .start = start,
    };
    return 0;
}

int64_t mcp_process_worked(pid_t pid) {
    char text[1024], *fields;
    if (read_stat(pid, text, sizeof text, &fields) != 0 || !fields) return -1;
    // 14 in user mode, 15 in the kernel, 16 and 17 the children's
    unsigned long long own, kernel;
    long long children, children_kernel;
    if (sscanf(fields, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld", &own, &kernel, &children, &children_kernel) != 4)
        return -1;
    long ticks = sysconf(_SC_CLK_TCK);
    if (ticks <= 0) return -1;
    return (int64_t)(own + kernel) * 1000000 / ticks + (int64_t)(children + children_kernel) * 1000000 / ticks;
}

int mcp_process_passage(pid_t pid, enum mcp_passage *passage) {
    char text[2048], *fields, *rest;
    int failure = read_stat(pid, text, sizeof text, &fields);
    if (failure || !fields) return failure;
    // 3 state, 9 flags, 51 end of the environment: 0 until `exec` has made it
    char state = 0;
    unsigned long long flags = 0, environment_end = 0;
    int number = 3;
    for (char *field = strtok_r(fields, " ", &rest); field; field = strtok_r(NULL, " ", &rest), number++) {
        if (number == 3) state = *field;
        if (number == 9) flags = strtoull(field, NULL, 10);
        if (number == 51) environment_end = strtoull(field, NULL, 10);
    }
    if (number < 52) return EIO;
    *passage = MCP_PASSAGE_NONE;
    if (state == 'Z' || state == 'X' || flags & is_exiting) *passage = MCP_PASSAGE_END;
    else if (environment_end == 0 && !(flags & is_kernel_thread)) *passage = MCP_PASSAGE_EXEC;
    return 0;
}

ssize_t mcp_process_numbers(pid_t **list) {
    *list = NULL;
    DIR *directory = opendir("/proc");
    if (!directory) return -1;
    size_t count = 0, room = 256;
    int failure = 0;
    pid_t *found = malloc(room * sizeof *found);
    while (found) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        failure = errno;
        if (!entry) break;
        pid_t pid = atoi(entry->d_name);
        if (pid <= 0) continue;
        if (count == room) {
            pid_t *more = realloc(found, (room *= 2) * sizeof *found);
            if (!more) {
                failure = ENOMEM;
                break;
            }
            found = more;
        }
        found[count++] = pid;
    }
    closedir(directory);
    if (found && !failure) {
        *list = found;
        return (ssize_t)count;
    }
    free(found);
    errno = failure ? failure : ENOMEM;
    return -1;
}

size_t mcp_process_arguments(pid_t pid, char *bytes, size_t room) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t count = read(fd, bytes, room);
    close(fd);
    return count < 0 ? 0 : (size_t)count;
}

int mcp_process_signal(const struct mcp_process *process, int signal) {
    int fd = mcp_pidfd_open(process->pid);
    if (fd < 0 && errno == ESRCH) return ESRCH;
    // From here on the descriptor names one process. It is the right one if it started when ours did. Where there is no descriptor
    // (T22), its number could pass on between the two calls, if it ended just now and all other numbers had been used up.
    struct mcp_process now;
    int failure = mcp_process_read(process->pid, &now);
    if (!failure && now.start != process->start) failure = ESRCH;
    if (!failure && fd >= 0 && syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) != 0) failure = errno;
    if (!failure && fd < 0 && kill(process->pid, signal) != 0) failure = errno;
    if (fd >= 0) close(fd);
    return failure;
}

#else

int mcp_process_read(pid_t pid, struct mcp_process *process) {
    struct proc_bsdinfo info;
    if (proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, &info, sizeof info) != (int)sizeof info) return ESRCH;
    *process = (struct mcp_process){
        .pid = pid,
        .parent = (pid_t)info.pbi_ppid,
        .group = (pid_t)info.pbi_pgid,
        .session = getsid(pid),
        .state = info.pbi_status == SZOMB ? 'Z' : 'R',
        .threads = 1,
        .is_exiting = (info.pbi_flags & PROC_FLAG_INEXIT) != 0,
        .main_is_exiting = (info.pbi_flags & PROC_FLAG_INEXIT) != 0,
        .start = info.pbi_start_tvsec * 1000000ull + info.pbi_start_tvusec,
    };
    return 0;
}

int64_t mcp_process_worked(pid_t pid) {
    (void)pid;
    return -1;
}

int mcp_process_passage(pid_t pid, enum mcp_passage *passage) {
    (void)pid;
    *passage = MCP_PASSAGE_NONE;
    return 0;
}

ssize_t mcp_process_numbers(pid_t **list) {
    *list = NULL;
    int room = proc_listallpids(NULL, 0);
    if (room <= 0) return -1;
    room += 64;
    pid_t *pids = malloc((size_t)room * sizeof *pids);
    if (!pids) return -1;
    int count = proc_listallpids(pids, room * (int)sizeof *pids);
    if (count <= 0) {
        free(pids);
        return -1;
    }
    *list = pids;
    return count;
}
size_t mcp_process_arguments(pid_t pid, char *bytes, size_t room) {
    int most_name[2] = {CTL_KERN, KERN_ARGMAX}, name[3] = {CTL_KERN, KERN_PROCARGS2, pid};
    int most = 0, arguments = 0;
    size_t size = sizeof most;
    if (sysctl(most_name, 2, &most, &size, NULL, 0) != 0 || most <= 0) return 0;
    char *all = malloc((size_t)most);
    size_t count = 0;
    size = (size_t)most;
    if (all && sysctl(name, 3, all, &size, NULL, 0) == 0 && size > sizeof arguments) {
        // Their number, the path of the program, zeros, the arguments, and the environment, which is nobody's business.
        memcpy(&arguments, all, sizeof arguments);
        size_t at = sizeof arguments;
        while (at < size && all[at]) at++;
        while (at < size && !all[at]) at++;
        for (; arguments > 0 && at < size && count < room; at++) {
            bytes[count++] = all[at];
            arguments -= !all[at];
        }
    }
    free(all);
    return count;
}

int mcp_process_signal(const struct mcp_process *process, int signal) {
    // No descriptor names a process here: between the two calls its number could pass on, if it ended and all numbers were used up.
    struct mcp_process now;
    if (mcp_process_read(process->pid, &now) != 0 || now.start != process->start) return ESRCH;
    return kill(process->pid, signal) == 0 ? 0 : errno;
}

#endif

/// Few: whoever looks has children to reap meanwhile, and can look again.
enum { most_rounds = 5, most_pids = 1 << 22 };

/// Whether a number is seen for the first time; always, where nobody keeps in mind what was seen.
static int is_new(unsigned char *seen, pid_t pid) {
    if (!seen || pid < 0 || pid >= most_pids) return 1;
    unsigned char bit = (unsigned char)(1 << (pid & 7));
    if (seen[pid >> 3] & bit) return 0;
    seen[pid >> 3] |= bit;
    return 1;
}

/// Looks at those of the numbers that were not looked at before. `lost` becomes 1 if one of them had ended meanwhile. Returns 0 or an errno.
static int look_at(const pid_t *pids, ssize_t count, unsigned char *seen, struct mcp_process *found, size_t *length, int *lost) {
    for (ssize_t i = 0; i < count; i++) {
        if (!is_new(seen, pids[i])) continue;
        struct mcp_process process = {.pid = pids[i]};
        int failure = mcp_process_read(pids[i], &process);
        if (!failure) {
            *lost |= process.state == 'Z' || process.state == 'X';
            found[(*length)++] = process;
        } else if (failure == ESRCH) {
            *lost = 1;
        } else if (failure != EACCES && failure != EPERM) {
            return failure;
        }
    }
    return 0;
}

/// All processes that can be seen; in one look where nobody asks with `missed` whether there were more. The list of numbers has in it at
/// least one link of a chain of processes that fork and exit; if the link has ended before it is looked at, its next may be younger than
/// the list. So the list is taken again, until it shows nobody new who has got away (T19). `missed` becomes 1 if it never came to that.
/// Returns the count, or -1 (errno).
static ssize_t list_processes(struct mcp_process **list, int *missed) {
    *list = NULL;
    size_t count = 0, room = 0;
    struct mcp_process *found = NULL;
    unsigned char *seen = missed ? calloc(most_pids / 8, 1) : NULL;
    int failure = missed && !seen ? ENOMEM : 0, lost = 1;
    for (int round = 0; round < (missed ? most_rounds : 1) && lost && !failure; round++) {
        pid_t *pids;
        ssize_t numbers = mcp_process_numbers(&pids);
        if (numbers < 0) {
            failure = errno;
            break;
        }
        if (count + (size_t)numbers + 1 > room) {
            room = count + (size_t)numbers + 64;
            struct mcp_process *more = realloc(found, room * sizeof *more);
            if (more) found = more;
            else failure = ENOMEM;
        }
        lost = 0;
        if (!failure) failure = look_at(pids, numbers, seen, found, &count, &lost);
        free(pids);
    }
    free(seen);
    if (missed) *missed = lost || failure;
    if (failure) {
        free(found);
        errno = failure;
        return -1;
    }
    *list = found;
    return (ssize_t)count;
}

ssize_t mcp_process_descendants(pid_t root, struct mcp_process **list, int *missed) {
    struct mcp_process *all;
    *list = NULL;
    ssize_t count = list_processes(&all, missed);
    if (count < 0) return -1;
    // Descendants are moved to the front, until a pass over the rest finds no more.
    ssize_t found = 0;
    for (ssize_t before = -1; before != found;) {
        before = found;
        for (ssize_t i = found; i < count; i++) {
            int is_child = all[i].parent == root && all[i].pid != root;
            for (ssize_t j = 0; j < found && !is_child; j++) is_child = all[i].parent == all[j].pid;
            if (!is_child) continue;
            struct mcp_process child = all[i];
            all[i] = all[found];
            all[found++] = child;
        }
    }
    ssize_t living = 0;
    for (ssize_t i = 0; i < found; i++)
        if (all[i].state != 'Z' && all[i].state != 'X') all[living++] = all[i];
    *list = all;
    return living;
}
