// A terminal for programs under test.
#define _GNU_SOURCE
#include "CTestSupport.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int test_open_terminal(int *screen) {
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0) return -1;
    char name[128];
    *screen = -1;
    // A child that is started in between would keep it open: those of tests inherit three descriptors only.
    if (fcntl(terminal, F_SETFD, FD_CLOEXEC) == 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0 &&
        ptsname_r(terminal, name, sizeof name) == 0)
        *screen = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*screen < 0) {
        close(terminal);
        return -1;
    }
    return terminal;
}
