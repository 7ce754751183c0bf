/* Times whole PAM account calls (start, acct_mgmt, end) of several services in turns, as a program would make them.
 *
 *   pam_call resident|fresh CONFDIR ROUNDS USER MODULE SERVICE...
 *
 * resident: all calls in one process, in which a module may stay loaded. fresh: each call in a process of its own, which
 * has loaded no module before, as sshd and sudo are.
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
#include <sys/wait.h>
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

struct call {
    const char *confdir, *user, *module, *service; /* no service: load the module alone */
};

struct answer {
    int64_t time;
    int result;
};

static struct answer make(const struct call *call)
{
    struct pam_conv conversation = {answer, NULL};
    struct answer made = {0, PAM_SYSTEM_ERR};
    int64_t start = now();
    if (call->service) {
        pam_handle_t *handle = NULL;
        if (pam_start_confdir(call->service, call->user, &conversation, call->confdir, &handle) != PAM_SUCCESS)
            return made;
        pam_set_item(handle, PAM_RHOST, "192.0.2.7");
        pam_set_item(handle, PAM_TTY, "ssh");
        made.result = pam_acct_mgmt(handle, 0);
        pam_end(handle, made.result);
    } else {
        void *loaded = dlopen(call->module, RTLD_NOW);
        if (!loaded)
            return made;
        made.result = dlclose(loaded);
    }
    made.time = now() - start;
    return made;
}

static struct answer make_in_a_fresh_process(const struct call *call)
{
    struct answer made = {0, PAM_SYSTEM_ERR};
    int ends[2];
    if (pipe(ends) != 0)
        return made;
    pid_t child = fork();
    if (child == 0) {
        made = make(call);
        _exit(write(ends[1], &made, sizeof made) == sizeof made ? 0 : 1);
    }
    close(ends[1]);
    if (child < 0 || read(ends[0], &made, sizeof made) != sizeof made)
        made.result = PAM_SYSTEM_ERR;
    close(ends[0]);
    waitpid(child, NULL, 0);
    return made;
}

int main(int argc, char **argv)
{
    if (argc < 7 || argc - 6 > MOST_SERVICES)
        return 2;
    int fresh = strcmp(argv[1], "fresh") == 0;
    int rounds = atoi(argv[3]), services = argc - 6, last[MOST_SERVICES + 1] = {0};
    int64_t *times[MOST_SERVICES + 1];
    pid_t reader = drain_decisions();

    for (int i = 0; i <= services; i++)
        if (!(times[i] = malloc((size_t)rounds * sizeof **times)))
            return 1;
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i <= services; i++) {
            struct call call = {argv[2], argv[4], argv[5], i < services ? argv[6 + i] : NULL};
            struct answer made = fresh ? make_in_a_fresh_process(&call) : make(&call);
            times[i][round] = made.time;
            last[i] = made.result;
        }
    }
    for (int i = 0; i <= services; i++)
        report(i < services ? argv[6 + i] : "dlopen", last[i], times[i], rounds);
    if (reader > 0)
        kill(reader, SIGKILL);
    unlink("/run/stint/decisions.sock");
    return 0;
}
