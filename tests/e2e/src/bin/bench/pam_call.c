/* Times whole PAM account calls (start, acct_mgmt, end) of several services in turns, as a program would make them.
 *
 *   pam_call CONFDIR ROUNDS USER MODULE SERVICE...
 *
 * Prints one line for each service: name, the call's last answer, p50 and p99 in nanoseconds; and one named "dlopen" for
 * loading and unloading MODULE alone. A child stands in for the warden and drains the socket of decisions. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MOST_SERVICES 16

static int answer(int count, const struct pam_message **messages, struct pam_response **responses, void *data)
{
    (void)messages;
    (void)data;
    *responses = calloc((size_t)count, sizeof **responses);
    return *responses ? PAM_SUCCESS : PAM_BUF_ERR;
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, int result, int64_t *times, int rounds)
{
    qsort(times, (size_t)rounds, sizeof *times, order);
    printf("%s %d %lld %lld\n", name, result, (long long)times[rounds / 2], (long long)times[rounds * 99 / 100]);
}

/* The warden's part: without a reader the queue fills, and the module would measure a refusal. */
static pid_t drain_decisions(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/stint/decisions.sock"};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        char buffer[65536];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (recv(fd, buffer, sizeof buffer, 0) >= 0)
            ;
        _exit(0);
    }
    close(fd);
    return child;
}

int main(int argc, char **argv)
{
    if (argc < 6 || argc - 5 > MOST_SERVICES)
        return 2;
    const char *confdir = argv[1], *user = argv[3], *module = argv[4];
    int rounds = atoi(argv[2]), services = argc - 5, last[MOST_SERVICES] = {0};
    int64_t *times[MOST_SERVICES + 1];
    struct pam_conv conversation = {answer, NULL};
    pid_t reader = drain_decisions();

    for (int i = 0; i <= services; i++)
        if (!(times[i] = malloc((size_t)rounds * sizeof **times)))
            return 1;
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < services; i++) {
            pam_handle_t *handle = NULL;
            int64_t start = now();
            if (pam_start_confdir(argv[5 + i], user, &conversation, confdir, &handle) != PAM_SUCCESS)
                return 1;
            pam_set_item(handle, PAM_RHOST, "192.0.2.7");
            pam_set_item(handle, PAM_TTY, "ssh");
            last[i] = pam_acct_mgmt(handle, 0);
            pam_end(handle, last[i]);
            times[i][round] = now() - start;
        }
        int64_t start = now();
        void *loaded = dlopen(module, RTLD_NOW);
        if (!loaded)
            return 1;
        dlclose(loaded);
        times[services][round] = now() - start;
    }
    for (int i = 0; i < services; i++)
        report(argv[5 + i], last[i], times[i], rounds);
    report("dlopen", 0, times[services], rounds);
    if (reader > 0)
        kill(reader, SIGKILL);
    unlink("/run/stint/decisions.sock");
    return 0;
}
