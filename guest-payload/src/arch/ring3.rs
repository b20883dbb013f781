//! Going to CPL 3, and what CPL 3 asks of CPL 0.

use core::arch::asm;

use super::gdt::{USER_CODE, USER_DATA};
use super::smp;

/// Reserved bit 1, IOPL 3, interrupts off.
pub(crate) const USER_RFLAGS: u64 = 0x3002;

/// Runs `function(argument)` at CPL 3 on the stack that ends at `stack_top`.
pub(crate) fn enter(function: extern "C" fn(u64) -> !, argument: u64, stack_top: u64) -> ! {
    // SAFETY: the selectors are in every CPU's GDT, the pages are open to CPL 3, and `function`
    // does not return. The stack is as the ABI wants it at a function's first instruction.
    unsafe {
        asm!(
            "push {data}", "push {stack}", "push {flags}", "push {code}", "push {entry}", "iretq",
            data = const USER_DATA as i32,
            stack = in(reg) stack_top - 8,
            flags = const USER_RFLAGS as i32,
            code = const USER_CODE as i32,
            entry = in(reg) function,
            in("rdi") argument,
            options(noreturn)
        )
    }
}

/// Runs `function(argument)` at CPL 3 on the boot CPU and comes back, before it starts its workload.
pub(crate) fn call(function: extern "C" fn(u64), argument: u64) {
    // SAFETY: the way down is `iretq` on the boot CPU's own CPL 3 stack, the way back the #GP
    // handler's `ret` to what this pushed, on the stack that this gave the TSS. `function` keeps the
    // registers that the ABI has it keep, all others are given up.
    unsafe {
        asm!(
            "mov r12, [{rsp0}]",
            "mov r13, {rsp0}",
            "mov r14, rsp",
            "and rsp, -16",
            "sub rsp, 8",
            "lea r10, [rip + 3f]",
            "push r10",
            "mov [{rsp0}], rsp", // 16-byte aligned, as the processor would make it
            "push {data}", "push {stack}", "push {flags}", "push {code}",
            "lea r10, [rip + 2f]",
            "push r10",
            "iretq",
            "2: call {function}",
            "mov r11d, {back}",
            "hlt",
            "3: mov rsp, r14",
            "mov [r13], r12",
            "mov r10d, {kernel_data}",
            "mov ss, r10d", "mov ds, r10d", "mov es, r10d",
            rsp0 = in(reg) smp::kernel_stack_slot(0),
            stack = in(reg) smp::user_stack_top(0),
            function = in(reg) function,
            data = const USER_DATA as i32,
            code = const USER_CODE as i32,
            flags = const USER_RFLAGS as i32,
            back = const REQUEST_RETURN,
            kernel_data = const super::gdt::KERNEL_DATA as i32,
            in("rdi") argument,
            out("r12") _, out("r13") _, out("r14") _,
            clobber_abi("C"),
        );
    }
}

/// What `general_protection` reads in R11 to return to who went to CPL 3, on that one's stack.
pub(crate) const REQUEST_RETURN: i32 = 3;

/// What `general_protection` reads in R11.
#[repr(u32)]
enum Request {
    Halt = 0,
    Hypercall = 1,
    Park = 2,
}

/// A hypercall by way of CPL 0.
pub(crate) fn gate_hypercall(number: u64, a0: u64, a1: u64) -> i64 {
    let result: i64;
    // SAFETY: the #GP handler runs the hypercall stub, which changes RAX only. RBX is LLVM's own,
    // so it is swapped in around the call.
    unsafe {
        asm!(
            "xchg {a0}, rbx", "hlt", "xchg {a0}, rbx",
            a0 = inout(reg) a0 => _,
            inout("rax") number as i64 => result,
            in("rcx") a1,
            inout("r11") Request::Hypercall as u64 => _,
            out("r10") _,
        );
    }
    result
}

/// HLT by way of CPL 0.
pub(crate) fn gate_halt() {
    // SAFETY: the #GP handler halts and returns.
    unsafe { asm!("hlt", inout("r11") Request::Halt as u64 => _, out("r10") _) };
}

/// Halts this CPU for good.
pub(crate) fn gate_park() -> ! {
    // SAFETY: the #GP handler never returns.
    unsafe { asm!("hlt", in("r11") Request::Park as u64, options(noreturn)) }
}
