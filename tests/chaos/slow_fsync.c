/* For LD_PRELOAD: a disk that takes its time as long as the file named by SLOW_FSYNC exists. */
#include <stdlib.h>
#include <unistd.h>

static int wait_for_the_disk(void) {
    const char *flag = getenv("SLOW_FSYNC");
    while (flag && access(flag, F_OK) == 0) usleep(50000);
    return 0;
}

int fsync(int fd) { (void)fd; return wait_for_the_disk(); }
int fdatasync(int fd) { (void)fd; return wait_for_the_disk(); }
