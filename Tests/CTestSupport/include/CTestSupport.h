// What tests need before `main`, and what Swift cannot call.
#ifndef CTESTSUPPORT_H
#define CTESTSUPPORT_H

/// A descriptor that becomes readable when a file in one of its folders is made or written to, or -1 where the system has none such.
int test_watch_descriptor(void);

/// Adds a folder to it. Returns the number by which its events name the folder.
int test_watch_folder(int descriptor, const char *path);
void test_unwatch_folder(int descriptor, int number);

/// Whether the state directory of this process was made for the tests.
int test_state_is_own(void);

/// Forks; the child calls `exit`, with all handlers that are registered for that. Returns its wait status.
int test_fork_and_exit(void);

/// Forks; the child stays until it is killed. Returns its number.
int test_fork_and_stay(void);

/// Ignores SIGCHLD: the system reaps children by itself, and tells nobody how they ended.
void test_ignore_children(void);

/// Starts a thread that reaps whatever ends. Returns 0 or an errno.
int test_reap_everything(void);

/// Whether a child of this process has ended and is not reaped.
int test_has_zombies(void);

/// Opens a terminal. Returns the side of whoever sits before it, and sets `screen` to that of the program; -1 when there is none.
int test_open_terminal(int *screen);

#endif
