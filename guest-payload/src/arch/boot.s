# Entry points: PVH (32-bit protected mode, paging off, EBX = hvm_start_info) and the
# application processors' start in real mode at TRAMPOLINE.

.set KERNEL_CODE, 0x08
.set KERNEL_DATA, 0x10
.set CR0_LONG,    0x80000033          # PG NE ET MP PE
.set CR4_LONG,    0x00000620          # OSXMMEXCPT OSFXSR PAE
.set MSR_EFER,    0xc0000080
.set EFER_LME,    0x00000100

.pushsection .note.Xen, "a", @note
.balign 4
.long 4, 4, 18                        # XEN_ELFNOTE_PHYS32_ENTRY
.asciz "Xen"
.long pvh_entry
.popsection

.pushsection .note.vmm, "a", @note
.balign 4
.long 4, 8, 1                         # NOTE_STUB_PAGE
.asciz "vmm"
.quad STUBS
.long 4, 8, 2                         # NOTE_RESULTS
.asciz "vmm"
.quad RESULTS
.long 4, 8, 3                         # NOTE_HANDSHAKE
.asciz "vmm"
.quad HANDSHAKE
.popsection

# Identity map of the first 4 GiB in 2 MiB pages, open to CPL 3; the last GiB (local APIC) is not.
.pushsection .data.pages, "aw", @progbits
.balign 4096
.globl boot_pml4
boot_pml4:
    .quad boot_pdpt + 7
    .fill 511, 8, 0
boot_pdpt:
    .quad boot_pd + 0x0007, boot_pd + 0x1007, boot_pd + 0x2007, boot_pd + 0x3003
    .fill 508, 8, 0
boot_pd:
    .set page, 0
    .rept 1536
    .quad page + 0x87
    .set page, page + 0x200000
    .endr
    .rept 512
    .quad page + 0x83
    .set page, page + 0x200000
    .endr
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff          # 64-bit code, CPL 0
    .quad 0x00cf93000000ffff          # data, CPL 0
boot_gdtr:
    .word . - boot_gdt - 1
    .long boot_gdt
    .long 0
.popsection

.pushsection .text.boot, "ax", @progbits
.code32
.globl pvh_entry
pvh_entry:
    cld
    mov $CR4_LONG, %eax
    mov %eax, %cr4
    mov $boot_pml4, %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    mov $EFER_LME, %eax
    xor %edx, %edx
    wrmsr
    lgdt boot_gdtr
    mov $CR0_LONG, %eax
    mov %eax, %cr0
    ljmp $KERNEL_CODE, $bsp_entry

.code64
bsp_entry:
    mov $KERNEL_DATA, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov %eax, %es
    lea boot_stack_top(%rip), %rsp
    mov %ebx, %edi
    call bsp_main
    ud2

# APs come here from the trampoline; each takes the next index and its own memory.
ap_entry:
    mov $KERNEL_DATA, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov %eax, %es
    cmpl $0, HAVOC_CPUS(%rip)
    jne havoc_ap_entry                # it has an index already
    mov $1, %edi
    lock xadd %edi, NEXT_CPU(%rip)
    mov %rdi, %rsp
    inc %rsp
    shl $PER_CPU_SHIFT, %rsp
    add PER_CPU_BASE(%rip), %rsp
    call ap_main
    ud2

# Copied to TRAMPOLINE, started by SIPI in real mode with CS = TRAMPOLINE >> 4.
.code16
.globl trampoline_start
trampoline_start:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    lgdtl trampoline_gdtr - trampoline_start
    mov $CR4_LONG, %eax
    mov %eax, %cr4
    mov $boot_pml4, %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    mov $EFER_LME, %eax
    xor %edx, %edx
    wrmsr
    mov $CR0_LONG, %eax
    mov %eax, %cr0
    ljmpl $KERNEL_CODE, $ap_entry
trampoline_gdtr:
    .word 23
    .long boot_gdt
.globl trampoline_end
trampoline_end:
.code64
.popsection

# Exceptions: vector and error code on the stack, then one Rust function that does not return.
.pushsection .text.boot, "ax", @progbits
.set vector, 0
.globl exception_stubs
.balign 16
exception_stubs:
.rept 32
    .balign 16
    .if !((0x60227d00 >> vector) & 1)  # 8 10 11 12 13 14 17 21 29 30 push an error code
    push $0
    .endif
    push $vector
    jmp exception_common
    .set vector, vector + 1
.endr
exception_common:
    mov %rsp, %rdi
    and $-16, %rsp
    call unexpected_exception
    ud2

# CPL 3 asks CPL 0 for something by HLT, which faults there; R11 says what. The way in works where
# `int` and `syscall` do not. Interrupts stay off, R10 and R11 are lost.
.set REQUEST_HYPERCALL, 1
.set REQUEST_RETURN, 3
.set OPCODE_HLT, 0xf4
.globl general_protection
general_protection:
    testb $3, 16(%rsp)                # CS
    jz 1f
    mov 8(%rsp), %r10                 # RIP
    cmpb $OPCODE_HLT, (%r10)
    je 2f
1:  push $13
    jmp exception_common
2:  lea 8(%rsp), %rsp                 # the error code
    incq (%rsp)
    cmp $REQUEST_HYPERCALL, %r11d
    ja 4f
    je 3f
    hlt
    iretq
3:  call STUBS
    iretq
4:  cmp $REQUEST_RETURN, %r11d
    je 5f
    hlt
    jmp 4b
5:  lea 40(%rsp), %rsp                # RIP, CS, RFLAGS, RSP, SS
    ret
.popsection

# A hypercall from 32-bit code at CPL 0. RAX, RBX, RCX as for the hypercall, ESI = its stub; all
# else may be lost. RSP fits 32 bits.
.pushsection .text.boot, "ax", @progbits
.globl compatibility_call
compatibility_call:
    mov $KERNEL_DATA, %edx
    mov %edx, %ss
    mov %edx, %ds
    mov %edx, %es
    push $KERNEL_CODE_32
    push $1f
    lretq
.code32
1:  call *%esi
    ljmp $KERNEL_CODE, $2f
.code64
2:  ret
.popsection

# What the compiler calls by name. String instructions, no SSE.
.pushsection .text.boot, "ax", @progbits
.globl memcpy
memcpy:
    mov %rdi, %rax
    mov %rdx, %rcx
    rep movsb
    ret
.globl memset
memset:
    mov %rdi, %r8
    mov %esi, %eax
    mov %rdx, %rcx
    rep stosb
    mov %r8, %rax
    ret
.globl bcmp
bcmp:
    mov %rdx, %rcx
    xor %eax, %eax                    # and ZF is 1, for nothing to compare
    repe cmpsb
    setne %al
    ret
# libcore was built to unwind and names this; nothing here unwinds.
.globl rust_eh_personality
rust_eh_personality:
    ud2
.popsection

.pushsection .bss.boot_stack, "aw", @nobits
.balign 16
    .skip 16384
boot_stack_top:
.popsection
