//! Hypercalls from where the kernel is not: CPL 3, and 32-bit code.

use core::arch::asm;

use guest_payload::abi::STUB_HYPERCALL_OFFSET;

use super::gdt::{USER_CODE, USER_DATA};
use super::ring3::{REQUEST_RETURN, USER_RFLAGS};
use super::smp;
use crate::shared::STUBS;

fn stub() -> u64 {
    (&raw const STUBS) as u64 + STUB_HYPERCALL_OFFSET
}

/// A hypercall that the boot CPU makes at CPL 3, and comes back from.
pub(crate) fn hypercall_from_cpl3(number: u64, a0: u64, a1: u64) -> i64 {
    let result: i64;
    // SAFETY: the way down is `iretq` on the boot CPU's own CPL 3 stack, the way back the #GP
    // handler's `ret` to what this pushed, on the stack that this gave the TSS; the stub changes
    // RAX only. RBX is LLVM's own, so it is kept on the kernel's stack meanwhile.
    unsafe {
        asm!(
            "push rbx",
            "mov rbx, {a0}",
            "mov r8, rsp",
            "and rsp, -16",
            "push r8",
            "lea r10, [rip + 3f]",
            "push r10",
            "mov [{rsp0}], rsp", // 16-byte aligned, as the processor would make it
            "push {data}", "push {stack}", "push {flags}", "push {code}",
            "lea r10, [rip + 2f]",
            "push r10",
            "iretq",
            "2: call {stub}",
            "mov r11d, {back}",
            "hlt",
            "3: pop rsp",
            "mov r10d, {kernel_data}",
            "mov ss, r10d", "mov ds, r10d", "mov es, r10d",
            "pop rbx",
            a0 = in(reg) a0,
            rsp0 = in(reg) smp::kernel_stack_slot(0),
            stack = in(reg) smp::user_stack_top(0),
            stub = in(reg) stub(),
            data = const USER_DATA as i32,
            code = const USER_CODE as i32,
            flags = const USER_RFLAGS as i32,
            back = const REQUEST_RETURN,
            kernel_data = const super::gdt::KERNEL_DATA as i32,
            inout("rax") number as i64 => result,
            in("rcx") a1,
            out("r8") _, out("r10") _, out("r11") _,
        );
    }
    result
}

unsafe extern "C" {
    fn compatibility_call();
}

/// A hypercall in compatibility mode at CPL 0. Takes all 64 bits of each register there and brings
/// all 64 bits of RAX back.
pub(crate) fn hypercall_from_32_bit(number: u64, a0: u64, a1: u64) -> i64 {
    let result: i64;
    // SAFETY: `compatibility_call` goes to 32-bit code and back; code, data and stack are below
    // 4 GiB. All that the manuals let a processor lose there (upper halves, R8 to R15) is given up
    // or kept on the stack, whose own address has no upper half.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "mov rbx, rdi",
            "call {call}",
            "pop rbx",
            "pop rbp",
            call = sym compatibility_call,
            inout("rax") number as i64 => result,
            in("rcx") a1,
            inout("rsi") stub() => _,
            inout("rdi") a0 => _,
            out("rdx") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        );
    }
    result
}
