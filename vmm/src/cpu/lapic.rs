//! Our own minimal local APIC, for `--halt vmm`: ID, version, SVR and ICR, in xAPIC mode by MMIO
//! and in x2APIC mode by MSRs. Enough to start CPUs and to kick; it delivers no interrupts.
//!
//! Registers: SDM vol. 3, table 11-1 (xAPIC) and 11-6 (x2APIC).

use crate::pv::apic_id::ApicMode;

/// IA32_APIC_BASE.
pub const MSR_APIC_BASE: u32 = 0x1b;
/// Guest-physical address of the registers in xAPIC mode.
pub const MMIO_BASE: u64 = 0xfee0_0000;
const MMIO_BYTES: u64 = 0x1000;
const MSR_FIRST: u32 = 0x800;
const MSR_LAST: u32 = 0x8ff;

const APIC_BASE_BSP: u64 = 1 << 8;
/// IA32_APIC_BASE: in x2APIC mode.
pub(crate) const APIC_BASE_X2APIC: u64 = 1 << 10;
/// IA32_APIC_BASE: not switched off.
pub(crate) const APIC_BASE_ENABLE: u64 = 1 << 11;

const ID: u32 = 0x02;
const VERSION: u32 = 0x03;
const EOI: u32 = 0x0b;
const LDR: u32 = 0x0d;
const SVR: u32 = 0x0f;
const ESR: u32 = 0x28;
const ICR_LOW: u32 = 0x30;
const ICR_HIGH: u32 = 0x31;

/// Integrated local APIC with 6 LVT entries, as KVM's.
const VERSION_VALUE: u32 = 0x0005_0014;
const SVR_RESET: u32 = 0xff;
/// SVR: enabled by software.
pub(crate) const SVR_ENABLED: u32 = 1 << 8;
/// Where the registers' page, and KVM's state of a local APIC, have the ID and SVR.
pub(crate) const ID_AT: usize = 16 * ID as usize;
/// As [`ID_AT`].
pub(crate) const SVR_AT: usize = 16 * SVR as usize;
/// Registers of 16 bytes each up to the timer's (SDM vol. 3, table 11-1).
const PLAIN_REGISTERS: usize = 64;

const DELIVERY_SHIFT: u32 = 8;
const DELIVERY_MASK: u32 = 7;
const DELIVERY_REMOTE_READ: u32 = 3;
const DELIVERY_INIT: u32 = 5;
const DELIVERY_STARTUP: u32 = 6;
const DESTINATION_LOGICAL: u32 = 1 << 11;
const LEVEL_ASSERT: u32 = 1 << 14;
const TRIGGER_LEVEL: u32 = 1 << 15;
const SHORTHAND_SHIFT: u32 = 18;

/// Whom an interrupt command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// A physical destination.
    Destination(u32),
    /// The sender.
    Myself,
    /// Everybody.
    All,
    /// Everybody but the sender.
    Others,
}

/// What a write makes other vCPUs do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// INIT.
    Init(Recipients),
    /// SIPI with its vector.
    Sipi(Recipients, u8),
    /// Remote read, which KVM takes as a kick.
    RemoteRead(u32),
}

/// The access faults (#GP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// One vCPU's local APIC.
#[derive(Clone, Debug)]
pub struct LocalApic {
    id: u32,
    base: u64,
    svr: u32,
    icr_high: u32,
    icr_low: u32,
    /// Registers that only keep their value, by number (TPR, LVTs, timer, DFR).
    plain: [u32; PLAIN_REGISTERS],
}

/// A [`LocalApic`] in a snapshot, without its ID.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SavedLapic {
    base: u64,
    svr: u32,
    icr_high: u32,
    icr_low: u32,
    plain: Vec<u32>,
}

impl SavedLapic {
    /// IA32_APIC_BASE.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The 32 bits at `offset` of the registers' page, but for those that are the same always.
    pub fn register(&self, offset: usize) -> u32 {
        let number = offset / 16;
        if u32::try_from(number) == Ok(SVR) {
            return self.svr;
        }
        self.plain.get(number).copied().unwrap_or(0)
    }
}

impl LocalApic {
    /// After reset, with this x2APIC ID.
    pub fn new(id: u32, is_bsp: bool) -> Self {
        let bsp = if is_bsp { APIC_BASE_BSP } else { 0 };
        Self {
            id,
            base: MMIO_BASE | APIC_BASE_ENABLE | bsp,
            svr: SVR_RESET,
            icr_high: 0,
            icr_low: 0,
            plain: [0; PLAIN_REGISTERS],
        }
    }

    /// All that a restored local APIC has to know.
    pub fn save(&self) -> SavedLapic {
        SavedLapic {
            base: self.base,
            svr: self.svr,
            icr_high: self.icr_high,
            icr_low: self.icr_low,
            plain: self.plain.to_vec(),
        }
    }

    /// Takes over what was saved; `None` where it has not as many registers as we have.
    pub fn restored(id: u32, saved: &SavedLapic) -> Option<Self> {
        let plain = <[u32; PLAIN_REGISTERS]>::try_from(saved.plain.as_slice()).ok()?;
        Some(Self {
            id,
            base: saved.base,
            svr: saved.svr,
            icr_high: saved.icr_high,
            icr_low: saved.icr_low,
            plain,
        })
    }

    /// INIT: everything but the ID and IA32_APIC_BASE (SDM vol. 3, 11.4.7.3).
    pub fn reset(&mut self) {
        *self = Self {
            base: self.base,
            ..Self::new(self.id, false)
        };
    }

    /// The mode that IA32_APIC_BASE selects.
    pub fn mode(&self) -> ApicMode {
        match (
            self.base & APIC_BASE_ENABLE != 0,
            self.base & APIC_BASE_X2APIC != 0,
        ) {
            (false, _) => ApicMode::Disabled,
            (true, false) => ApicMode::XApic,
            (true, true) => ApicMode::X2Apic,
        }
    }

    fn register(&self, number: u32) -> Option<u32> {
        Some(match number {
            ID if self.mode() == ApicMode::X2Apic => self.id,
            ID => self.id << 24,
            VERSION => VERSION_VALUE,
            LDR if self.mode() == ApicMode::X2Apic => (self.id >> 4) << 16 | 1 << (self.id & 0xf),
            SVR => self.svr,
            ICR_LOW => self.icr_low,
            ICR_HIGH => self.icr_high,
            _ => *self.plain.get(usize::try_from(number).ok()?)?,
        })
    }

    fn set_register(&mut self, number: u32, value: u32) -> Option<Effect> {
        match number {
            SVR => self.svr = value,
            ICR_HIGH => self.icr_high = value,
            ICR_LOW => {
                self.icr_low = value;
                return command(value, self.icr_high >> 24);
            }
            ID | VERSION | EOI | ESR => {}
            _ => {
                if let Some(plain) = usize::try_from(number)
                    .ok()
                    .and_then(|number| self.plain.get_mut(number))
                {
                    *plain = value;
                }
            }
        }
        None
    }

    /// A read of memory that is not RAM: our registers in xAPIC mode, all ones elsewhere.
    pub fn mmio_read(&self, address: u64, data: &mut [u8]) {
        data.fill(0xff);
        let Some(number) = self.mmio_register(address) else {
            return;
        };
        if let (Ok(whole), Some(value)) = (<&mut [u8; 4]>::try_from(data), self.register(number)) {
            *whole = value.to_le_bytes();
        }
    }

    /// A write to memory that is not RAM.
    pub fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<Effect> {
        let number = self.mmio_register(address)?;
        let value = u32::from_le_bytes(<[u8; 4]>::try_from(data).ok()?);
        self.set_register(number, value)
    }

    /// Registers are 16 bytes apart and accessed as 32 bits at the first of them.
    fn mmio_register(&self, address: u64) -> Option<u32> {
        let offset = address
            .checked_sub(MMIO_BASE)
            .filter(|offset| *offset < MMIO_BYTES)?;
        (self.mode() == ApicMode::XApic && offset % 16 == 0)
            .then(|| u32::try_from(offset / 16).ok())
            .flatten()
    }

    /// RDMSR of an MSR that KVM does not serve.
    pub fn msr_read(&self, msr: u32) -> Option<u64> {
        if msr == MSR_APIC_BASE {
            return Some(self.base);
        }
        let number = self.x2apic_register(msr)?;
        if number == ICR_LOW {
            return Some(u64::from(self.icr_high) << 32 | u64::from(self.icr_low));
        }
        self.register(number).map(u64::from)
    }

    /// WRMSR of an MSR that KVM does not serve.
    ///
    /// # Errors
    /// [`Fault`] for an MSR that is not ours, and for changes of mode that hardware refuses.
    pub fn msr_write(&mut self, msr: u32, value: u64) -> Result<Option<Effect>, Fault> {
        if msr == MSR_APIC_BASE {
            return self.set_base(value).map(|()| None);
        }
        let number = self.x2apic_register(msr).ok_or(Fault)?;
        let low = u32::try_from(value & u64::from(u32::MAX)).map_err(|_| Fault)?;
        if number == ICR_LOW {
            self.icr_low = low;
            self.icr_high = u32::try_from(value >> 32).map_err(|_| Fault)?;
            return Ok(command(low, self.icr_high));
        }
        if value >> 32 != 0 || matches!(number, ID | VERSION | LDR | ICR_HIGH) {
            return Err(Fault);
        }
        Ok(self.set_register(number, low))
    }

    /// The mode may go from xAPIC to x2APIC and from either to disabled, and from disabled to
    /// xAPIC (SDM vol. 3, figure 11-27).
    fn set_base(&mut self, value: u64) -> Result<(), Fault> {
        let (enable, x2apic) = (value & APIC_BASE_ENABLE != 0, value & APIC_BASE_X2APIC != 0);
        let refused = match self.mode() {
            _ if x2apic && !enable => true,
            ApicMode::X2Apic => enable && !x2apic,
            ApicMode::Disabled => x2apic,
            ApicMode::XApic => false,
        };
        if refused {
            return Err(Fault);
        }
        let modes = APIC_BASE_ENABLE | APIC_BASE_X2APIC;
        self.base = self.base & !modes | value & modes;
        Ok(())
    }

    fn x2apic_register(&self, msr: u32) -> Option<u32> {
        (self.mode() == ApicMode::X2Apic && (MSR_FIRST..=MSR_LAST).contains(&msr))
            .then(|| msr - MSR_FIRST)
            .filter(|number| *number < 64)
    }
}

/// What the interrupt command does, for those delivery modes that do something here.
fn command(low: u32, destination: u32) -> Option<Effect> {
    // Nobody starts processors by logical destinations: their IDs are set up by the started ones.
    if low & DESTINATION_LOGICAL != 0 && low >> SHORTHAND_SHIFT & 3 == 0 {
        return None;
    }
    let recipients = match low >> SHORTHAND_SHIFT & 3 {
        0 => Recipients::Destination(destination),
        1 => Recipients::Myself,
        2 => Recipients::All,
        _ => Recipients::Others,
    };
    match low >> DELIVERY_SHIFT & DELIVERY_MASK {
        DELIVERY_REMOTE_READ => Some(Effect::RemoteRead(destination)),
        // INIT level de-assert is ignored (SDM vol. 3, 11.6.1).
        DELIVERY_INIT if low & TRIGGER_LEVEL != 0 && low & LEVEL_ASSERT == 0 => None,
        DELIVERY_INIT => Some(Effect::Init(recipients)),
        DELIVERY_STARTUP => Some(Effect::Sipi(recipients, low.to_le_bytes()[0])),
        _ => None,
    }
}

#[cfg(test)]
#[path = "lapic_test.rs"]
mod tests;
