# mode=havoc: whatever interrupts a CPU, it goes on with its next turn.

.pushsection .text.boot, "ax", @progbits

# Every vector of a CPU under havoc. What the processor pushed is of no use; the CPU's area, in which its
# stack lies, tells who it is. IRETQ, because an NMI masks the next one until then.
.globl havoc_interrupted
havoc_interrupted:
    mov %rsp, %rdi
    and $-HAVOC_AREA_BYTES, %rdi
    incq HAVOC_FAULTS(%rdi)
    lea HAVOC_STACK_TOP-8(%rdi), %rsp
    mov %rsp, %rax
    push $KERNEL_DATA
    push %rax
    push $2                           # RFLAGS: interrupts off
    push $KERNEL_CODE
    lea havoc_turns(%rip), %rax
    push %rax
    iretq

# Where a CPU comes that INIT and SIPI have started anew, without a stack.
havoc_ap_entry:
    mov HAVOC_ID_LEAF(%rip), %eax
    xor %ecx, %ecx
    cpuid
    cmpl $1, HAVOC_ID_LEAF(%rip)
    jne 1f
    shr $24, %ebx
    mov %ebx, %edx
1:  mov HAVOC_AREAS(%rip), %rdi
    mov HAVOC_CPUS(%rip), %ecx
2:  cmp %edx, (%rdi)
    je 3f
    add $HAVOC_AREA_BYTES, %rdi
    dec %ecx
    jnz 2b
4:  hlt
    jmp 4b
3:  lea HAVOC_STACK_TOP-8(%rdi), %rsp
    jmp havoc_restarted
.popsection
