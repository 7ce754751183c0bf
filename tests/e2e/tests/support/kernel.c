/* What root can leave in the kernel without a module: `bpf PATH` loads a program and pins it there, `kexec KERNEL INITRD` loads a kernel
   that a reboot would jump into. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(const char *path) {
    struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr load = {0}, pin = {0};
    load.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
    load.insns = (uintptr_t)code;
    load.insn_cnt = 2;
    load.license = (uintptr_t) "";
    int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    if (program < 0)
        return -1;
    pin.pathname = (uintptr_t)path;
    pin.bpf_fd = (uint32_t)program;
    return (int)syscall(SYS_bpf, BPF_OBJ_PIN, &pin, sizeof pin);
}

static int load(const char *kernel, const char *initrd) {
    const char words[] = "root=/dev/vda";
    int first = open(kernel, O_RDONLY), second = open(initrd, O_RDONLY);
    if (first < 0 || second < 0)
        return -1;
    return (int)syscall(SYS_kexec_file_load, first, second, sizeof words, words, 0);
}

int main(int count, char **words) {
    int failed = -1;
    if (count == 3 && !strcmp(words[1], "bpf"))
        failed = bpf(words[2]);
    if (count == 4 && !strcmp(words[1], "kexec"))
        failed = load(words[2], words[3]);
    if (failed)
        perror(words[0]);
    return failed ? 1 : 0;
}
