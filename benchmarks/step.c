/* Counts the instructions that a call executes within [low, high). The CPU's trap flag stops it
 * after each instruction, and a signal handler reads the address. It needs no performance counters,
 * which virtual machines often lack, and works with every instruction set. Linux on x86-64. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

static volatile uint64_t counted;
static uintptr_t low, high;

static void on_trap(int number, siginfo_t *information, void *context) {
    (void)number, (void)information;
    const uintptr_t at = (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    counted += at >= low && at < high;
}

uint64_t count_instructions(void *(*call)(void *), void *argument, uintptr_t from, uintptr_t to) {
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO}, before;
    low = from, high = to, counted = 0;
    sigaction(SIGTRAP, &action, &before);
    __asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq" ::: "memory", "cc");
    call(argument);
    __asm__ volatile("pushfq\n andq $~0x100, (%%rsp)\n popfq" ::: "memory", "cc");
    sigaction(SIGTRAP, &before, NULL);
    return counted;
}
