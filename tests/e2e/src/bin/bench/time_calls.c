/* Times a program from fork to exit, so many times: time_calls ROUNDS PROGRAM [ARGUMENT...]. One line of nanoseconds each.
 * A call that fails ends it: a refusal is not what is timed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    for (int round = atoi(argv[1]); round > 0; round--) {
        int status = 0;
        int64_t start = now();
        pid_t child = fork();
        if (child == 0) {
            execvp(argv[2], argv + 2);
            _exit(127);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            return 1;
        printf("%lld\n", (long long)(now() - start));
    }
    return 0;
}
