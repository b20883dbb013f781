//! Going to CPL 3, and what CPL 3 asks of CPL 0.

use core::arch::asm;

use super::gdt::{USER_CODE, USER_DATA};

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
