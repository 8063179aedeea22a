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
#endif

#if defined(__linux__)

/// `/proc/PID/stat`: the name in brackets may contain anything, so the fields are counted from its last bracket.
int mcp_process_read(pid_t pid, struct mcp_process *process) {
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? ESRCH : errno;
    ssize_t count = read(fd, text, sizeof text - 1);
    int failure = count < 0 ? errno : ESRCH;
    close(fd);
    if (count <= 0) return failure;
    text[count] = 0;
    char *fields = strrchr(text, ')');
    int parent, group, session, threads;
    unsigned flags;
    unsigned long long start;
    char state;
    // 3 state, 4 ppid, 5 pgrp, 6 session, 9 flags, 20 threads, 22 start time
    if (!fields || sscanf(fields + 1, " %c %d %d %d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %llu", &state, &parent, &group,
                          &session, &flags, &threads, &start) != 7)
        return EIO;
    const unsigned exiting = 0x4;  // PF_EXITING
    // State and flags are the main thread's. It may have called pthread_exit, and the process lives in its other threads (T7).
    int others_run = threads > 1;
    if (others_run && (state == 'Z' || state == 'X')) state = 'R';
    *process = (struct mcp_process){pid, parent, group, session, state, threads, !others_run && (flags & exiting) != 0, start};
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
        .start = info.pbi_start_tvsec * 1000000ull + info.pbi_start_tvusec,
    };
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

int mcp_process_signal(const struct mcp_process *process, int signal) {
    // No descriptor names a process here: between the two calls its number could pass on, if it ended and all numbers were used up.
    struct mcp_process now;
    if (mcp_process_read(process->pid, &now) != 0 || now.start != process->start) return ESRCH;
    return kill(process->pid, signal) == 0 ? 0 : errno;
}

#endif

/// All processes that can be seen. Returns the count, or -1 (errno).
static ssize_t list_processes(struct mcp_process **list) {
    pid_t *pids;
    *list = NULL;
    ssize_t seen = mcp_process_numbers(&pids), count = 0;
    if (seen < 0) return -1;
    struct mcp_process *found = calloc((size_t)seen + 1, sizeof *found);
    int failure = found ? 0 : ENOMEM;
    for (ssize_t i = 0; i < seen && !failure; i++) {
        failure = mcp_process_read(pids[i], &found[count]);
        if (!failure) count++;
        // Gone meanwhile, or somebody else's and hidden from us: not ours. Anything else means that we do not know.
        else if (failure == ESRCH || failure == EACCES || failure == EPERM) failure = 0;
    }
    free(pids);
    if (failure) {
        free(found);
        errno = failure;
        return -1;
    }
    *list = found;
    return count;
}

ssize_t mcp_process_descendants(pid_t root, struct mcp_process **list) {
    struct mcp_process *all;
    *list = NULL;
    ssize_t count = list_processes(&all);
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
