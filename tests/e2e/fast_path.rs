//! The compiled fast paths are those of the PV ticket lock series, instruction by instruction.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use guest_payload::IMAGE;
use guest_payload::key::{JumpEntry, NOP5, Unlock};
use guest_payload::lock::{LockKind, RawLock, TicketBits, Visit};
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};
use object::{Object, ObjectSection, ObjectSymbol};

/// `T` of `acquire::<T>` and `release::<T>`, for each lock and ticket width.
const TICKET_LOCKS: [&str; 6] = [
    "Ticket<U8>",
    "Ticket<U16>",
    "PvTicket<U8>",
    "PvTicket<U16>",
    "PvTicketHead<U8>",
    "PvTicketHead<U16>",
];

struct Payload {
    /// Address and bytes of each loaded section.
    sections: Vec<(String, u64, Vec<u8>)>,
    /// `acquire Ticket<U8>` and so on, with address.
    functions: BTreeMap<String, u64>,
}

/// `payload::critical_section::acquire::<guest_payload::lock::ticket::Ticket<…::U8>>` without its paths.
fn short(symbol: &str) -> Option<String> {
    let name = format!("{:#}", rustc_demangle::demangle(symbol));
    let name = name.strip_prefix("payload::critical_section::")?;
    let (function, lock) = name.split_once("::<")?;
    Some(format!(
        "{function} {}",
        short_type(lock.strip_suffix('>')?)
    ))
}

/// `guest_payload::lock::ticket::Ticket<…::U8>` without its paths.
fn short_type(path: &str) -> String {
    let last = |path: &str| path.rsplit("::").next().unwrap_or_default().to_owned();
    match path.split_once('<') {
        Some((lock, width)) => format!("{}<{}", last(lock), last(width)),
        None => last(path),
    }
}

/// The short type of every lock, with that of both ticket widths if it has tickets.
fn locks() -> BTreeMap<String, LockKind> {
    struct Name;

    impl Visit for Name {
        type Output = String;

        fn visit<L: RawLock>(self) -> String {
            short_type(std::any::type_name::<L>())
        }
    }

    let of = |kind: LockKind| {
        [TicketBits::Eight, TicketBits::Sixteen].map(|bits| (kind.visit(bits, Name), kind))
    };
    LockKind::ALL.into_iter().flat_map(of).collect()
}

impl Payload {
    fn read() -> Self {
        let file = object::File::parse(IMAGE).unwrap();
        let sections = file
            .sections()
            .filter(|section| section.address() != 0)
            .map(|section| {
                let name = section.name().unwrap().to_owned();
                (name, section.address(), section.data().unwrap().to_vec())
            })
            .collect();
        let functions = file
            .symbols()
            .filter_map(|symbol| Some((short(symbol.name().ok()?)?, symbol.address())))
            .collect();
        Self {
            sections,
            functions,
        }
    }

    fn section(&self, name: &str) -> (u64, &[u8]) {
        let (_, address, bytes) = self.sections.iter().find(|(is, ..)| is == name).unwrap();
        (*address, bytes)
    }

    fn at(&self, address: u64) -> &[u8] {
        let (start, text) = self.section(".text");
        &text[usize::try_from(address - start).unwrap()..]
    }

    fn function(&self, name: &str) -> u64 {
        let address = self.functions.get(name);
        *address.unwrap_or_else(|| panic!("no {name} among {:?}", self.functions.keys()))
    }

    /// The instructions from `address` up to the first RET: no branch is taken.
    fn straight(&self, address: u64) -> Vec<Instruction> {
        self.until(address, |i| i.flow_control() == FlowControl::Return)
    }

    /// The instructions from `address` up to the first branch or RET.
    fn up_to_branch(&self, address: u64) -> Vec<Instruction> {
        self.until(address, |i| i.flow_control() != FlowControl::Next)
    }

    fn until(&self, address: u64, last: impl Fn(&Instruction) -> bool) -> Vec<Instruction> {
        let mut path = Vec::new();
        for instruction in Decoder::with_ip(64, self.at(address), address, DecoderOptions::NONE) {
            path.push(instruction);
            if last(&instruction) {
                return path;
            }
            assert!(path.len() < 40, "no end of {}", listing(&path));
        }
        panic!("the code ends: {}", listing(&path));
    }

    fn sites(&self) -> Vec<JumpEntry> {
        let (_, table) = self.section(".jump_table");
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        table
            .chunks_exact(size_of::<JumpEntry>())
            .map(|entry| JumpEntry {
                site: word(&entry[..8]),
                pv: word(&entry[8..16]),
                lingering: word(&entry[16..]),
            })
            .collect()
    }
}

fn listing(path: &[Instruction]) -> String {
    let lines = path.iter().map(|i| format!("{:x}: {i}\n", i.ip()));
    lines.collect()
}

/// A LOCK prefix, or an XCHG with memory, which has one built in.
fn is_locked(instruction: &Instruction) -> bool {
    let exchanges = instruction.mnemonic() == Mnemonic::Xchg
        && (0..2).any(|n| instruction.op_kind(n) == OpKind::Memory);
    instruction.has_lock_prefix() || exchanges
}

fn is_fence(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        Mnemonic::Mfence | Mnemonic::Sfence | Mnemonic::Lfence
    )
}

fn assert_straight(path: &[Instruction], name: &str) {
    for instruction in path {
        let flow = instruction.flow_control();
        assert!(
            matches!(
                flow,
                FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::Return
            ),
            "{name}: {instruction} is on the straight path"
        );
        assert!(!is_fence(instruction), "{name}: {instruction}");
    }
}

#[test]
fn an_uncontended_lock_is_one_locked_xadd_and_no_call() {
    let payload = Payload::read();
    for lock in TICKET_LOCKS {
        let name = format!("acquire {lock}");
        let path = payload.straight(payload.function(&name));
        assert_straight(&path, &name);
        let locked: Vec<_> = path.iter().filter(|i| is_locked(i)).collect();
        assert_eq!(locked.len(), 1, "{name}");
        assert_eq!(locked[0].mnemonic(), Mnemonic::Xadd, "{name}");
        // One branch, and it leaves for the contended case.
        let branches = path.iter().filter(|i| i.is_jcc_short_or_near());
        assert_eq!(branches.count(), 1, "{name}");
    }
}

#[test]
fn test_and_set_locks_take_one_exchange_and_no_call() {
    let payload = Payload::read();
    for lock in ["ByteLock", "TasLock"] {
        let name = format!("acquire {lock}");
        let path = payload.straight(payload.function(&name));
        assert_straight(&path, &name);
        assert_eq!(path.iter().filter(|i| is_locked(i)).count(), 1, "{name}");
    }
}

#[test]
fn a_queued_spinlock_is_one_locked_cmpxchg_and_one_store() {
    let payload = Payload::read();
    for (lock, nops) in [("Qspinlock", 0), ("PvQspinlock", 1)] {
        let name = format!("acquire {lock}");
        let path = payload.straight(payload.function(&name));
        assert_straight(&path, &name);
        let locked: Vec<_> = path.iter().filter(|i| is_locked(i)).collect();
        assert_eq!(locked.len(), 1, "{name}");
        assert_eq!(locked[0].mnemonic(), Mnemonic::Cmpxchg, "{name}");

        let name = format!("release {lock}");
        let path = payload.straight(payload.function(&name));
        let [nop @ .., unlock, _ret] = &path[..] else {
            panic!("{name}: {}", listing(&path));
        };
        assert_eq!(nop.len(), nops, "{name}: {}", listing(&path));
        assert_eq!(unlock.code(), Code::Mov_rm8_imm8, "{name}");
    }
}

#[test]
fn with_pv_off_an_unlock_is_the_5_byte_nop_and_an_unlocked_add() {
    let payload = Payload::read();
    for (lock, add) in [
        ("PvTicket<U8>", Code::Add_rm8_imm8),
        ("PvTicket<U16>", Code::Add_rm16_imm8),
        ("PvTicketHead<U8>", Code::Add_rm8_imm8),
        ("PvTicketHead<U16>", Code::Add_rm16_imm8),
    ] {
        let name = format!("release {lock}");
        let start = payload.function(&name);
        assert_eq!(payload.at(start)[..5], NOP5, "{name}");
        let path = payload.straight(start);
        let [nop, unlock, _ret] = path[..] else {
            panic!("{name}: {}", listing(&path));
        };
        assert_eq!((nop.mnemonic(), nop.len()), (Mnemonic::Nop, 5), "{name}");
        assert_eq!(unlock.code(), add, "{name}");
        assert!(!unlock.has_lock_prefix(), "{name}");
        assert_eq!(unlock.memory_base(), Register::RDI, "{name}");
        assert_eq!(unlock.memory_displacement64(), 0, "{name}");
        assert_eq!(unlock.immediate(1), 2, "{name}");
    }
}

#[test]
fn a_plain_ticket_unlock_is_one_unlocked_instruction() {
    let payload = Payload::read();
    for (lock, bytes) in [("Ticket<U8>", 1), ("Ticket<U16>", 2)] {
        let name = format!("release {lock}");
        let path = payload.straight(payload.function(&name));
        let [unlock, _ret] = path[..] else {
            panic!("{name}: {}", listing(&path));
        };
        assert!(
            matches!(unlock.mnemonic(), Mnemonic::Inc | Mnemonic::Add),
            "{name}: {unlock}"
        );
        assert_eq!(unlock.memory_size().info().size(), bytes, "{name}");
        assert!(!unlock.has_lock_prefix(), "{name}: {unlock}");
    }
}

#[test]
fn every_patched_site_jumps_to_the_locked_unlock() {
    let payload = Payload::read();
    let (sites, locks) = (payload.sites(), locks());
    let mut found = 0;
    for (name, &start) in &payload.functions {
        let Some(lock) = name.strip_prefix("release ") else {
            continue;
        };
        let site = sites.iter().find(|entry| entry.site == start);
        assert_eq!(site.is_some(), locks[lock].is_pv(), "{name}");
        let Some(site) = site else { continue };
        found += 1;
        assert_eq!(site.patched(Unlock::Native), Some(NOP5), "{name}");
        for (unlock, target) in [(Unlock::Pv, site.pv), (Unlock::Lingering, site.lingering)] {
            let patched = site.patched(unlock).unwrap();
            let jump = Decoder::with_ip(64, &patched, site.site, DecoderOptions::NONE).decode();
            assert_eq!(jump.code(), Code::Jmp_rel32_64, "{name}");
            assert_eq!((jump.len(), jump.near_branch_target()), (5, target));
        }

        let path = payload.up_to_branch(site.pv);
        assert_straight(&path, name);
        let locked: Vec<_> = path.iter().filter(|i| is_locked(i)).collect();
        assert_eq!(locked.len(), 1, "{name}");
        let expected = match lock.split('<').next() {
            Some("PvTicket") => Mnemonic::Add,
            Some("PvTicketHead") => Mnemonic::Xadd,
            Some("PvQspinlock") => Mnemonic::Cmpxchg,
            Some("ByteLock") => Mnemonic::Xchg,
            _ => locked[0].mnemonic(),
        };
        assert_eq!(locked[0].mnemonic(), expected, "{name}");
    }
    assert_eq!(found, sites.len(), "sites outside of `release`: {sites:?}");
    let pv = locks.values().filter(|kind| kind.is_pv());
    assert_eq!(found, pv.count());
}

#[test]
fn every_locks_uncontended_way_has_neither_call_nor_fence() {
    let payload = Payload::read();
    for lock in locks().keys() {
        let name = format!("acquire {lock}");
        let path = payload.straight(payload.function(&name));
        assert_straight(&path, &name);
        let locked = path.iter().filter(|i| is_locked(i)).count();
        assert!(locked > 0, "{name}: {}", listing(&path));
    }
}

/// Emulators of CPL 0 know few of the instructions that came with SSE and after it.
#[test]
fn the_image_has_no_sse() {
    let payload = Payload::read();
    let (start, text) = payload.section(".text");
    let mut checked = 0;
    for instruction in Decoder::with_ip(64, text, start, DecoderOptions::NONE) {
        let registers = (0..instruction.op_count()).map(|n| instruction.op_register(n));
        for register in registers {
            let is_vector = register.is_vector_register() || register.is_mm();
            assert!(!is_vector, "{:#x}: {instruction}", instruction.ip());
        }
        // TZCNT is no such case: to a processor without it, it is a BSF.
        let is_new = matches!(instruction.mnemonic(), Mnemonic::Popcnt | Mnemonic::Lzcnt);
        assert!(!is_new, "{:#x}: {instruction}", instruction.ip());
        checked += 1;
    }
    assert!(checked > 1000, "{checked} instructions");
}
