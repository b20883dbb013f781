//! The machine below the workload: boot, tables, local APIC, CPUs.

pub(crate) mod acpi;
pub(crate) mod apic;
pub(crate) mod caller;
pub(crate) mod clock;
pub(crate) mod gdt;
pub(crate) mod idt;
pub(crate) mod instr;
pub(crate) mod patch;
pub(crate) mod pvh;
pub(crate) mod ring3;
pub(crate) mod serial;
pub(crate) mod smp;
pub(crate) mod xen;

use core::arch::global_asm;

use crate::deeds::area::{AREA_BYTES, FAULTS_OFFSET, STACK_TOP};

/// Log2 of the memory each CPU gets: tables, stacks.
pub(crate) const PER_CPU_SHIFT: u32 = 14;

global_asm!(
    ".set PER_CPU_SHIFT, {shift}",
    ".set KERNEL_CODE_32, {code_32}",
    include_str!("boot.s"),
    shift = const PER_CPU_SHIFT,
    code_32 = const gdt::KERNEL_CODE_32,
    options(att_syntax)
);

global_asm!(
    ".set HAVOC_AREA_BYTES, {area}",
    ".set HAVOC_STACK_TOP, {stack}",
    ".set HAVOC_FAULTS, {faults}",
    include_str!("havoc.s"),
    area = const AREA_BYTES,
    stack = const STACK_TOP,
    faults = const FAULTS_OFFSET,
    options(att_syntax)
);
