//! A machine in as few system calls as there can be.

use std::fs::File;
use std::io::{self, Read, Write};

use kvm_bindings::{
    CpuId, KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_MAX_CPUID_ENTRIES, kvm_enable_cap,
    kvm_regs, kvm_segment, kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};

const MEMORY_BYTES: usize = 128 << 20;
const THREAD_STACK_BYTES: usize = 64 << 10;
const COM1: u16 = 0x3f8;
const I8042_COMMAND: u16 = 0x64;
const PT_LOAD: u64 = 1;

/// Runs the guest; the process ends when the guest resets.
pub(crate) fn run(vcpus: u32, guest: &str) -> io::Result<()> {
    let mut image = Vec::new();
    File::open(guest)?.read_to_end(&mut image)?;
    let kvm = Kvm::new()?;
    let vm = kvm.create_vm()?;
    let memory = map()?;
    let region = kvm_userspace_memory_region {
        memory_size: MEMORY_BYTES as u64,
        userspace_addr: memory.as_ptr() as u64,
        ..kvm_userspace_memory_region::default()
    };
    // SAFETY: the mapping is never unmapped, and there is one slot.
    unsafe { vm.set_user_memory_region(region)? };
    let entry = load(&image, memory).ok_or(io::Error::other("not a guest of the bench"))?;
    enable(&vm, KVM_CAP_SPLIT_IRQCHIP, 24)?;
    enable(&vm, KVM_CAP_X2APIC_API, 1)?;
    let mut cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
    let mut made = Vec::new();
    for id in 0..vcpus {
        let vcpu = vm.create_vcpu(id.into())?;
        number(&mut cpuid, id);
        vcpu.set_cpuid2(&cpuid)?;
        if id == 0 {
            start_at(&vcpu, entry)?;
        }
        made.push(vcpu);
    }
    let threads: Vec<_> = made
        .into_iter()
        .map(|vcpu| {
            let thread = std::thread::Builder::new().stack_size(THREAD_STACK_BYTES);
            thread.spawn(|| serve(vcpu))
        })
        .collect::<io::Result<_>>()?;
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

fn map() -> io::Result<&'static mut [u8]> {
    // SAFETY: a new anonymous mapping.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            MEMORY_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping has this length, is ours alone until the guest runs, and is never
    // unmapped.
    Ok(unsafe { std::slice::from_raw_parts_mut(start.cast(), MEMORY_BYTES) })
}

/// Copies the segments; the entry is the ELF's, which in the bench's guests is the note's too.
fn load(image: &[u8], memory: &mut [u8]) -> Option<u64> {
    let u64_at = |at: usize| Some(u64::from_le_bytes(image.get(at..at + 8)?.try_into().ok()?));
    let headers = usize::from(*image.get(56)?);
    for header in (0..headers).map(|n| 64 + n * 56) {
        if u64_at(header)? & 0xffff_ffff != PT_LOAD {
            continue;
        }
        let [from, to, length] = [8, 24, 32].map(|field| u64_at(header + field));
        let (from, to) = (usize::try_from(from?).ok()?, usize::try_from(to?).ok()?);
        let length = usize::try_from(length?).ok()?;
        memory
            .get_mut(to..to + length)?
            .copy_from_slice(image.get(from..from + length)?);
    }
    u64_at(24)
}

fn enable(vm: &VmFd, cap: u32, argument: u64) -> io::Result<()> {
    let args = [argument, 0, 0, 0];
    Ok(vm.enable_cap(&kvm_enable_cap {
        cap,
        args,
        ..kvm_enable_cap::default()
    })?)
}

/// Puts the APIC ID where a guest looks for it.
fn number(cpuid: &mut CpuId, id: u32) {
    for entry in cpuid.as_mut_slice() {
        match entry.function {
            1 => entry.ebx = entry.ebx & 0xff_ffff | id << 24,
            0xb | 0x1f => entry.edx = id,
            _ => {}
        }
    }
}

fn start_at(vcpu: &VcpuFd, entry: u64) -> io::Result<()> {
    let mut sregs = vcpu.get_sregs()?;
    let flat = |selector, type_| kvm_segment {
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..kvm_segment::default()
    };
    sregs.cr0 = 0x11;
    sregs.cs = flat(0x8, 0xb);
    let data = flat(0x10, 0x3);
    (sregs.ds, sregs.es, sregs.fs) = (data, data, data);
    (sregs.gs, sregs.ss) = (data, data);
    vcpu.set_sregs(&sregs)?;
    vcpu.set_regs(&kvm_regs {
        rip: entry,
        rflags: 2,
        ..kvm_regs::default()
    })?;
    Ok(())
}

fn serve(mut vcpu: VcpuFd) {
    loop {
        match vcpu.run() {
            Ok(VcpuExit::IoOut(COM1, data)) => {
                let _ = io::stdout()
                    .write_all(data)
                    .and_then(|()| io::stdout().flush());
            }
            // SAFETY: ends the process; nothing is left to be written.
            Ok(VcpuExit::IoOut(I8042_COMMAND, _)) => unsafe { libc::_exit(0) },
            _ => return,
        }
    }
}
