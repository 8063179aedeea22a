// Counts what this process allocates and locks: counts do not drift as times do.
#ifndef CCOUNTERS_H
#define CCOUNTERS_H

/// Allocations (malloc, calloc, realloc, aligned ones) since the start.
long counted_allocations(void);

/// Calls of pthread_mutex_lock since the start.
long counted_locks(void);

#endif
