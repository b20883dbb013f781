//! Guests that do what no guest should: the VMM survives, and says how it ended.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use guest_payload::abi::{RESULTS_MAGIC, RESULTS_VERSION, Results, STATE_RUNNING};
use vmm_tests::command::{Folder, Report, Vmm, skip};
use vmm_tests::elf::{CODE_GPA, Elf};
use vmm_tests::guest::{rip, with_tables};
use vmm_tests::{guest_code, next_random, reset, say_ok};

/// Runs `elf` under `switches`; the serial port's output is in the folder's file `serial`.
fn run(folder: &Folder, elf: &Elf, switches: &str) -> Report {
    let guest = folder.file("guest.elf", &elf.bytes());
    // 128 MiB are the guest's.
    Vmm::run(switches)
        .within_mib(400)
        .words("--timeout 30 --serial")
        .arg(folder.path("serial"))
        .arg(guest)
        .report()
}

/// The guest came through all of it and reset the machine.
fn assert_survived(folder: &Folder, run: &Report) {
    run.ended("completed", 0);
    assert_eq!(run.text("/ended_by"), "guest");
    let serial = fs::read(folder.path("serial")).unwrap();
    assert!(serial.ends_with(b"OK"), "the guest did not come to its end");
}

#[test]
fn the_i8042s_reset_ends_the_run_well() {
    let folder = Folder::new("reset");
    let elf = Elf::guest(guest_code!(".code32", say_ok!(), reset!()));
    for halt in ["kvm", "vmm"] {
        let run = run(
            &folder,
            &elf,
            &format!("--vcpus 2 --halt {halt} --kick auto"),
        );
        assert_survived(&folder, &run);
        assert_eq!(fs::read(folder.path("serial")).unwrap(), b"OK");
        assert_eq!(run.json.get("acquisitions"), None);
    }
}

#[test]
fn every_port_may_be_read_and_written_in_every_size() {
    let folder = Folder::new("ports");
    let elf = Elf::guest(guest_code!(
        ".code32",
        "mov esi, 1",
        "xor ebx, ebx",
        // EBX: the ports up to 0x400 one by one, then 2000 random ones. A reset is another test's.
        "2: mov edx, ebx",
        "cmp ebx, 0x400; jb 3f",
        next_random!(),
        "mov edx, esi; shr edx, 16",
        "3: cmp edx, 0x64; je 4f",
        "mov eax, esi; rol eax, 9",
        "out dx, al; out dx, ax; out dx, eax; in al, dx; in ax, dx; in eax, dx",
        "4: inc ebx; cmp ebx, 0xbd0; jb 2b",
        say_ok!(),
        reset!(),
    ));
    for halt in ["kvm", "vmm"] {
        let run = run(&folder, &elf, &format!("--vcpus 1 --halt {halt}"));
        assert_survived(&folder, &run);
        assert!(run.count("/exits/port_out") > 6000, "{}", run.finished);
        assert!(run.count("/exits/port_in") > 6000, "{}", run.finished);
    }
}

#[test]
fn strings_may_be_sent_to_any_port_and_read_from_it() {
    let folder = Folder::new("strings");
    let elf = Elf::guest(guest_code!(
        ".code32",
        "cld",
        "mov dx, 0x1234; mov esi, 0x100000; mov ecx, 5000; rep outsb",
        "mov dx, 0x3f8; mov esi, 0x100000; mov ecx, 3000; rep outsw",
        "mov dx, 0xe4; mov esi, 0x100000; mov ecx, 3000; rep outsd",
        "mov dx, 0x3f8; mov edi, 0x104000; mov ecx, 3000; rep insb",
        "mov dx, 0x64; mov edi, 0x104000; mov ecx, 3000; rep insd",
        // Out of memory's end: reads as all ones.
        "mov dx, 0x80; mov esi, 0x80000000; mov ecx, 100; rep outsb",
        "mov dx, 0x80; mov edi, 0x80000000; mov ecx, 100; rep insb",
        say_ok!(),
        reset!(),
    ));
    let run = run(&folder, &elf, "--vcpus 1");
    assert_survived(&folder, &run);
    assert!(fs::read(folder.path("serial")).unwrap().len() >= 6000);
}

#[test]
fn every_address_without_memory_may_be_read_and_written() {
    let folder = Folder::new("mmio");
    let elf = Elf::guest(guest_code!(
        ".code32",
        "mov esi, 1",
        "mov edi, 0xc0000000",
        "2: mov al, [edi]; mov ax, [edi]; mov eax, [edi]",
        next_random!(),
        "mov eax, esi; mov [edi], al; mov [edi], ax; mov [edi], eax",
        "add edi, 0x143215; cmp edi, 0xfe000000; jb 2b",
        // The local APIC's page and the I/O APIC's, but no interrupt command: that is below.
        "mov edi, 0xfec00000",
        "3: mov eax, [edi]; mov al, [edi + 3]; mov [edi], esi; mov byte ptr [edi + 1], 0xff",
        next_random!(),
        "add edi, 4; cmp edi, 0xfec00100; jb 3b",
        "mov edi, 0xfee00000",
        "4: cmp edi, 0xfee00300; je 5f",
        "mov eax, [edi]; mov al, [edi + 3]; mov [edi], esi; mov byte ptr [edi + 1], 0xff",
        next_random!(),
        "5: add edi, 4; cmp edi, 0xfee01000; jb 4b",
        // Interrupts of every kind to nobody, to all others, and to random destinations.
        "mov ecx, 300",
        "6: mov [0xfee00310], esi",
        "mov eax, esi; and eax, 0x00ff; or eax, 0xc4000; mov [0xfee00300], eax",
        next_random!(),
        "dec ecx; jnz 6b",
        say_ok!(),
        reset!(),
    ));
    for halt in ["kvm", "vmm"] {
        let run = run(&folder, &elf, &format!("--vcpus 3 --halt {halt}"));
        assert_survived(&folder, &run);
        assert!(run.count("/exits/mmio_write") > 1000, "{}", run.finished);
    }
}

#[test]
fn every_msr_may_be_read_and_written() {
    let folder = Folder::new("msrs");
    let code = guest_code!(
        ".code32",
        "lgdt [0x200020]; lidt [0x200030]; mov esp, 0x108000",
        "mov esi, 1; mov ebp, 0x200400",
        "2: mov ecx, [ebp]",
        "3: cmp ecx, [ebp + 4]; jae 4f",
        // x2APIC's interrupt command and self-IPI: the vCPU would take itself out.
        "cmp ecx, 0x830; je 5f; cmp ecx, 0x83f; je 5f",
        "rdmsr",
        next_random!(),
        "mov eax, esi; mov edx, esi; rol edx, 13; wrmsr",
        "xor eax, eax; xor edx, edx; dec eax; dec edx; wrmsr",
        "5: inc ecx; jmp 3b",
        "4: add ebp, 8; cmp dword ptr [ebp + 4], 0; jne 2b",
        say_ok!(),
        reset!(),
    );
    let ranges = [
        (0x0, 0x300),
        (0x480, 0x4a0),
        (0x800, 0x900),
        (0x4b56_4d00, 0x4b56_4d10),
        (0x4000_0000, 0x4000_0020),
        (0x4000_0070, 0x4000_0120),
        (0xc000_0080, 0xc000_0084),
        (0xc000_0100, 0xc000_0110),
        (0xc001_0000, 0xc001_0120),
        (0xffff_fff0, 0xffff_ffff),
    ];
    let elf = with_tables(code, &ranges);
    for halt in ["kvm", "vmm"] {
        let run = run(&folder, &elf, &format!("--vcpus 1 --halt {halt}"));
        assert_survived(&folder, &run);
    }
}

#[test]
fn random_kicks_disturb_nobody() {
    let folder = Folder::new("kicks");
    let code = guest_code!(
        ".code32",
        "mov esp, 0x107000; mov ebp, 0x108000; mov esi, 1; mov edi, 1000",
        next_random!(),
        "2: mov eax, 5; mov ebx, esi; mov ecx, esi; call ebp",
        "test eax, eax; jnz 8f",
        next_random!(),
        // Known IDs, unknown ones and broadcasts, all to vCPUs that wait for SIPI or to itself.
        "mov eax, 5; movzx ecx, si; and ecx, 0xff; call ebp",
        "mov eax, esi; or eax, 0x100; call ebp",
        "cmp eax, -1000; jne 8f",
        // The private ports in sizes and with values that mean nothing.
        "mov eax, esi; or eax, 0x10; out 0xe7, al; out 0xe7, ax; out 0xe7, eax; out 0xe6, eax",
        "in eax, 0xe4; in ax, 0xe5; in al, 0xe7",
        "dec edi; jnz 2b",
        // A kick to itself: the halt returns at once.
        "mov eax, 5; xor ecx, ecx; call ebp; lea ebp, [ebp + 16]; call ebp",
        say_ok!(),
        reset!(),
        // A wrong answer: no OK.
        "8:",
        reset!(),
    );
    let elf = Elf::guest(code).stub_page(CODE_GPA + 0x8000);
    for halt in ["kvm", "vmm"] {
        let run = run(
            &folder,
            &elf,
            &format!("--vcpus 16 --kick vmm --halt {halt}"),
        );
        assert_survived(&folder, &run);
        assert_eq!(run.count("/kicks/handled"), 2001, "{}", run.finished);
        assert!(run.count("/kicks/no_such_apic_id") > 1000);
        assert!(run.count("/kicks/broadcast") > 0, "{}", run.finished);
    }
}

#[test]
fn all_vcpus_halted_for_ever_is_a_hang() {
    let folder = Folder::new("halted");
    let boot = guest_code!(
        ".code32",
        "mov dword ptr [0xfee000f0], 0x1ff",
        "mov dword ptr [0xfee00300], 0xc4500",
        "mov dword ptr [0xfee00300], 0xc4608",
        "cli; 2: hlt; jmp 2b",
    );
    let others = guest_code!(".code16", "cli; 2: hlt; jmp 2b");
    let elf = Elf::guest(boot).segment(0x8000, others, 16);
    for halt in ["kvm", "vmm"] {
        let run = run(&folder, &elf, &format!("--vcpus 4 --halt {halt}"));
        run.ended("hung", 1);
        for vcpu in run.list("/hang/vcpus") {
            assert_eq!(vcpu["activity"], "halted", "{}", run.finished);
            assert_eq!(vcpu["interrupts_enabled"], false);
        }
        assert!(
            run.text("/hang/sentence")
                .contains("no kick to it was seen")
        );
    }
}

#[test]
fn init_and_sipi_start_a_running_vcpu_anew() {
    let folder = Folder::new("init");
    // EBP: rounds. Each waits until the other vCPU has started anew and is among its INs again.
    let boot = guest_code!(
        ".code32",
        "mov dword ptr [0xfee000f0], 0x1ff; xor ebp, ebp",
        "2: mov dword ptr [0xfee00300], 0xc4500; mov dword ptr [0xfee00300], 0xc4608",
        "inc ebp",
        "3: pause; cmp [0x9000], ebp; jne 3b",
        "mov eax, [0x9008]; add eax, 3",
        "4: pause; cmp [0x9008], eax; jb 4b",
        "cmp ebp, 100; jb 2b",
        say_ok!(),
        reset!(),
    );
    let other = guest_code!(
        ".code16",
        "xor ax, ax; mov ds, ax; inc dword ptr [0x9000]",
        "2: in al, 0x80; inc dword ptr [0x9008]; jmp 2b",
    );
    let elf = Elf::guest(boot).segment(0x8000, other, 0x2000);
    let run = run(&folder, &elf, "--vcpus 2 --halt vmm");
    assert_survived(&folder, &run);
}

#[test]
fn a_guest_that_runs_or_can_be_interrupted_is_no_hang() {
    let folder = Folder::new("alive");
    for code in [
        guest_code!(".code32", "2: jmp 2b"),
        guest_code!(".code32", "sti; 2: hlt; jmp 2b"),
    ] {
        let guest = folder.file("guest.elf", &Elf::guest(code).bytes());
        for halt in ["kvm", "vmm"] {
            let run = Vmm::run(&format!("--vcpus 1 --halt {halt} --timeout 1.2"))
                .arg(&guest)
                .report();
            run.ended("timeout", 1);
        }
    }
}

#[test]
fn a_triple_fault_is_reported_with_the_instruction() {
    let folder = Folder::new("triple");
    let code = guest_code!(".code32", "mov ebx, 0x5eed", "ud2");
    for halt in ["kvm", "vmm"] {
        let run = run(
            &folder,
            &Elf::guest(code),
            &format!("--vcpus 1 --halt {halt}"),
        );
        run.ended("crashed", 4);
        assert_eq!(run.text("/crash/reason/kind"), "triple_fault");
        assert_eq!(run.text("/crash/registers/rip"), rip(5));
        assert_eq!(run.text("/crash/registers/rbx"), "0x5eed");
        assert_eq!(run.text("/crash/instruction"), "ud2");
        assert!(run.finished.stderr.contains("triple fault"));
    }
}

#[test]
fn an_instruction_that_kvm_cannot_emulate_is_reported() {
    let folder = Folder::new("emulation");
    let code = guest_code!(".code32", "mov ebx, 7", "popcnt eax, ebx", reset!());
    let run = run(&folder, &Elf::guest(code), "--vcpus 1");
    if run.finished.code == 0 {
        skip("an emulation failure", "this host executes popcnt at CPL 0");
        return;
    }
    run.ended("crashed", 4);
    assert_eq!(run.text("/crash/reason/kind"), "emulation_failure");
    assert_eq!(run.text("/crash/registers/rip"), rip(5));
    let bytes = run.text("/crash/instruction_bytes").replace(' ', "");
    assert!(bytes.starts_with("f30fb8c3"), "{}", run.finished);
    assert_eq!(run.text("/crash/instruction"), "popcnt %ebx,%eax");
    assert!(run.finished.stderr.contains("cannot emulate"));
}

/// A results page with `count` CPUs at `cpus`, and everything else as bad as it can be.
fn results_page(count: u32, cpus: u64) -> Vec<u8> {
    let mut page = vec![0xff; size_of::<Results>()];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &RESULTS_MAGIC.to_le_bytes());
    put(8, &RESULTS_VERSION.to_le_bytes());
    put(12, &STATE_RUNNING.to_le_bytes());
    put(16, &count.to_le_bytes());
    put(std::mem::offset_of!(Results, cpus_gpa), &cpus.to_le_bytes());
    page
}

#[test]
fn a_results_page_may_say_anything() {
    let folder = Folder::new("results");
    let code = guest_code!(".code32", say_ok!(), reset!());
    let hangs = guest_code!(".code32", "cli; 2: hlt; jmp 2b");
    for (count, cpus) in [
        (u32::MAX, u64::MAX),
        (u32::MAX, 0),
        (u32::MAX, !0xfff),
        (u32::MAX, CODE_GPA),
        (4096, (128 << 20) - 8),
        (0, 0x4141_4141_4141),
    ] {
        let page = results_page(count, cpus);
        let with = |code| {
            Elf::guest(code)
                .segment(0x30_0000, &page, 0x1_0000)
                .results(0x30_0000)
        };
        let run = run(&folder, &with(code), "--vcpus 2");
        assert_survived(&folder, &run);
    }
    let page = results_page(u32::MAX, 0x30_0000);
    let elf = Elf::guest(hangs)
        .segment(0x30_0000, &page, 0x1_0000)
        .results(0x30_0000);
    run(&folder, &elf, "--vcpus 1").ended("hung", 1);
}

#[test]
fn a_stub_page_over_the_code_is_the_guests_own_fault() {
    let folder = Folder::new("stub");
    let code = guest_code!(".code32", reset!());
    let elf = Elf::guest(code).stub_page(CODE_GPA);
    let run = run(&folder, &elf, "--vcpus 1 --kick vmm");
    assert!([0, 1, 4].contains(&run.finished.code), "{}", run.finished);
}

#[test]
fn random_code_ends_in_one_of_the_ways_there_are() {
    let folder = Folder::new("random");
    let mut seed: u64 = 0x5eed;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56).to_le_bytes()[0]
    };
    for round in 0..24 {
        let code: Vec<u8> = (0..512).map(|_| random()).collect();
        let elf = Elf::guest(&code).stub_page(CODE_GPA + 0x8000);
        let guest = folder.file("guest.elf", &elf.bytes());
        let halt = ["kvm", "vmm"][round % 2];
        let run = Vmm::run(&format!("--vcpus 2 --kick vmm --halt {halt} --timeout 0.2"))
            .words("--serial null")
            .arg(guest)
            .within_mib(400)
            .report();
        let ended = (run.text("/outcome"), run.finished.code);
        let ways = [
            ("completed", 0),
            ("hung", 1),
            ("timeout", 1),
            ("crashed", 4),
        ];
        assert!(ways.contains(&ended), "round {round}: {}", run.finished);
    }
}
