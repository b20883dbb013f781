//! KVM's PIC pair, I/O APIC and PIT: made, saved and restored.

use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
    KVM_PIT_SPEAKER_DUMMY, KvmIrqRouting, kvm_irq_routing_entry, kvm_irq_routing_irqchip,
    kvm_irqchip, kvm_pit_config, kvm_pit_state2,
};
use kvm_ioctls::VmFd;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::boot::platform::PIT_GSI;
use crate::cpu::state::Raw;

/// Their state. Its postcard form is part of the snapshot format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IrqchipState {
    /// In the order of [`CHIPS`].
    chips: [Raw<kvm_irqchip>; 3],
    pit: Raw<kvm_pit_state2>,
}

/// The PICs before the I/O APIC, whose state KVM delivers interrupts from when it is set.
const CHIPS: [u32; 3] = [
    KVM_IRQCHIP_PIC_MASTER,
    KVM_IRQCHIP_PIC_SLAVE,
    KVM_IRQCHIP_IOAPIC,
];

/// Makes them, before the first vCPU. Port 0x61 is the PIT's, as on a PC.
///
/// # Errors
/// [`Error::Ioctl`].
pub(super) fn create(vm: &VmFd) -> Result<(), Error> {
    vm.create_irq_chip()
        .map_err(|error| Error::Ioctl("KVM_CREATE_IRQCHIP", error))?;
    let config = kvm_pit_config {
        flags: KVM_PIT_SPEAKER_DUMMY,
        ..kvm_pit_config::default()
    };
    vm.create_pit2(config)
        .map_err(|error| Error::Ioctl("KVM_CREATE_PIT2", error))?;
    let routing = KvmIrqRouting::from_entries(&routes())
        .map_err(|_| Error::Missing("room for the interrupt lines of a PC"))?;
    vm.set_gsi_routing(&routing)
        .map_err(|error| Error::Ioctl("KVM_SET_GSI_ROUTING", error))
}

/// Where the lines end: at the PICs and at the I/O APIC's pin of the same number, but that line 0,
/// the PIT's, ends at pin 2. So says the MADT, and so it is on a PC. KVM's own default is pin 0.
fn routes() -> Vec<kvm_irq_routing_entry> {
    const PIC_LINES: u32 = 16;
    const PINS_OF_A_PIC: u32 = 8;
    const IO_APIC_PINS: u32 = 24;
    let to = |gsi, irqchip, pin| {
        let mut entry = kvm_irq_routing_entry {
            gsi,
            type_: KVM_IRQ_ROUTING_IRQCHIP,
            ..Default::default()
        };
        entry.u.irqchip = kvm_irq_routing_irqchip { irqchip, pin };
        entry
    };
    let pics = (0..PIC_LINES).map(|line| {
        let chip = match line < PINS_OF_A_PIC {
            true => KVM_IRQCHIP_PIC_MASTER,
            false => KVM_IRQCHIP_PIC_SLAVE,
        };
        to(line, chip, line % PINS_OF_A_PIC)
    });
    let io_apic = (0..IO_APIC_PINS)
        // Line 2 is where the second PIC comes in.
        .filter(|&line| line != u32::from(PIT_GSI))
        .map(|line| {
            to(
                line,
                KVM_IRQCHIP_IOAPIC,
                if line == 0 { PIT_GSI.into() } else { line },
            )
        });
    pics.chain(io_apic).collect()
}

impl IrqchipState {
    /// Reads it. No vCPU runs.
    ///
    /// # Errors
    /// What KVM says.
    pub(super) fn save(vm: &VmFd) -> Result<Self, kvm_ioctls::Error> {
        let mut chips = CHIPS.map(|chip_id| {
            Raw(kvm_irqchip {
                chip_id,
                ..kvm_irqchip::default()
            })
        });
        for chip in &mut chips {
            vm.get_irqchip(&mut chip.0)?;
        }
        Ok(Self {
            chips,
            pit: Raw(vm.get_pit2()?),
        })
    }

    /// Sets it. No vCPU runs yet; their local APICs are set, because the I/O APIC looks at them.
    ///
    /// # Errors
    /// What KVM says.
    pub(super) fn restore(&self, vm: &VmFd) -> Result<(), kvm_ioctls::Error> {
        for (chip_id, chip) in CHIPS.into_iter().zip(&self.chips) {
            vm.set_irqchip(&kvm_irqchip { chip_id, ..chip.0 })?;
        }
        vm.set_pit2(&self.pit.0)
    }
}

/// Starts the PIT's count anew: what it did while its machine stood still is over, and a tick that
/// got lost then keeps back no other.
///
/// # Errors
/// What KVM says.
pub(super) fn restart_pit(vm: &VmFd) -> Result<(), kvm_ioctls::Error> {
    vm.set_pit2(&vm.get_pit2()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm() -> VmFd {
        let vm = crate::host::open_kvm().unwrap().create_vm().unwrap();
        create(&vm).unwrap();
        vm
    }

    #[test]
    fn a_saved_irqchip_is_the_same_in_another_vm() {
        let (one, other) = (vm(), vm());
        let mut state = IrqchipState::save(&one).unwrap();
        let fresh = state.clone();
        state.pit.0.channels[1].mode = 3;
        state.restore(&one).unwrap();
        let saved = IrqchipState::save(&one).unwrap();
        assert_ne!(saved, fresh);
        saved.restore(&other).unwrap();
        let mut restored = IrqchipState::save(&other).unwrap();
        // A count's load time is when it was loaded here.
        let channels = restored.pit.0.channels.iter_mut();
        for (here, there) in channels.zip(&saved.pit.0.channels) {
            here.count_load_time = there.count_load_time;
        }
        assert_eq!(restored, saved);
    }
}
