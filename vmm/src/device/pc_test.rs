use std::time::Duration;

use super::*;
use crate::device::test_wires::TestWires;
use crate::device::wires::Level;

/// Wires that can be looked at while the devices have them.
#[derive(Clone, Debug, Default)]
struct Shared(std::sync::Arc<TestWires>);

impl Wires for Shared {
    fn set_line(&self, line: u32, level: Level) {
        self.0.set_line(line, level);
    }
    fn uptime(&self) -> Duration {
        self.0.uptime()
    }
    fn time_of_day(&self) -> Duration {
        self.0.time_of_day()
    }
    fn forget_page(&self, gpa: u64) {
        self.0.forget_page(gpa);
    }
}

fn devices(set: DeviceSet) -> (PcDevices, Shared) {
    let wires = Shared::default();
    let devices = PcDevices::new(PcWiring {
        set,
        vcpus: 2,
        memory: MemorySize::from_mib(64),
        wires: Box::new(wires.clone()),
    });
    (devices, wires)
}

fn pc() -> PcDevices {
    devices(DeviceSet::Pc).0
}

fn test_image() -> PcDevices {
    devices(DeviceSet::TestImage).0
}

fn read<const N: usize>(pc: &PcDevices, port: u16) -> [u8; N] {
    let mut data = [0x5a; N];
    pc.read(port, &mut data);
    data
}

#[test]
fn where_nothing_is_reads_are_all_ones() {
    let pc = pc();
    for port in [0x80, 0xed, 0xe0, 0xf4, 0x2000, 0x510, 0xcf8, 0xcfc, 0xffff] {
        assert_eq!(pc.write(port, &[0, 0, 0, 0]), None, "{port:#x}");
        assert_eq!(read::<4>(&pc, port), [0xff; 4], "{port:#x}");
    }
    let mut data = [0; 8];
    for address in [0xff00_0000, 0xfee0_0000, 0xffff_fff0, u64::MAX] {
        pc.mmio_write(address, &[1; 8]);
        pc.mmio_read(address, &mut data);
        assert_eq!(data, [0xff; 8], "{address:#x}");
    }
}

/// Linux finds no PCI bus by either of its two mechanisms.
#[test]
fn there_is_no_pci_bus() {
    let pc = pc();
    pc.write(0xcfb, &[1]);
    pc.write(0xcf8, &0x8000_0000_u32.to_le_bytes());
    assert_ne!(read::<4>(&pc, 0xcf8), 0x8000_0000_u32.to_le_bytes());
    pc.write(0xcf8, &[0]);
    assert_ne!(read::<1>(&pc, 0xcf8), [0]);
}

#[test]
fn the_reset_register_restarts_when_its_cpu_bit_rises() {
    assert_eq!(
        pc().write(RESET_CONTROL, &[RESET_VALUE]),
        Some(Asked::Reset)
    );
    for values in [
        &[0x02, 0x06][..],
        &[0x02, 0x0e],
        &[0x00, 0x04],
        &[0xfb, 0xff],
    ] {
        let pc = pc();
        let (last, first) = values.split_last().unwrap();
        assert_eq!(pc.write(RESET_CONTROL, first), None);
        assert_eq!(read::<1>(&pc, RESET_CONTROL), first);
        assert_eq!(pc.write(RESET_CONTROL, &[*last]), Some(Asked::Reset));
    }
    // A PCI address that covers the port is none for it.
    assert_eq!(pc().write(0xcf8, &[0xff; 4]), None);
}

#[test]
fn the_keyboard_controller_and_the_power_registers_end_the_machine() {
    assert_eq!(pc().write(0x64, &[0xfe]), Some(Asked::Reset));
    assert_eq!(pc().write(0x604, &[0, 0x34]), Some(Asked::PowerOff));
    // What small guests write for QEMU.
    assert_eq!(pc().write(0x604, &[0, 0x20]), Some(Asked::PowerOff));
}

#[test]
fn a_panic_is_told_and_a_crash_kernel_is_not_one() {
    let pc = pc();
    assert_eq!(read::<1>(&pc, PVPANIC), [3]);
    assert_eq!(pc.write(PVPANIC, &[2]), None);
    assert_eq!(pc.write(PVPANIC, &[1]), Some(Asked::GuestPanic));
}

#[test]
fn the_clock_takes_index_and_value_in_one_access() {
    let pc = pc();
    pc.write(0x70, &[0x0f, 0x5a]);
    pc.write(0x70, &[0x0f]);
    assert_eq!(read::<1>(&pc, 0x71), [0x5a]);
    assert_eq!(read::<1>(&pc, 0x70), [0xff]);
}

#[test]
fn the_power_timer_is_the_machines_clock() {
    let (pc, wires) = devices(DeviceSet::Pc);
    wires.0.set_uptime(Duration::from_secs(1));
    assert_eq!(read::<4>(&pc, 0x608), 3_579_545_u32.to_le_bytes());
}

#[test]
fn a_test_image_has_its_own_devices() {
    let (image, wires) = devices(DeviceSet::TestImage);
    image.write(0x510, &[5, 0]);
    assert_eq!(read::<1>(&image, 0x511), [2]);
    assert_eq!(image.write(0xf4, &[0x21]), Some(Asked::DebugExit(0x21)));
    image.write(0x2000 + 9, &[1]);
    assert_eq!(wires.0.edges(9), 1);
    image.mmio_write(0xff00_0ffe, &[1, 2, 3, 4]);
    let mut data = [0; 8];
    image.mmio_read(0xff00_0ffd, &mut data);
    assert_eq!(data, [0, 1, 2, 3, 4, 0, 0, 0]);
    // The last bytes, and those behind them.
    image.mmio_write(0xff00_fffe, &[7; 8]);
    image.mmio_read(0xff00_fffe, &mut data);
    assert_eq!(data, [7, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
}

/// Every device differs from a new one's.
fn used() -> PcDevices {
    let image = test_image();
    for (port, data) in [
        (0x64, &[0xaa][..]),
        (0x70, &[0x0f, 0x0a]),
        (0x602, &[1, 2]),
        (0xcf9, &[0x02]),
        (0x510, &[3, 0]),
        (0xe0, &[9, 9, 9, 9]),
    ] {
        assert_eq!(image.write(port, data), None);
    }
    let _ = read::<1>(&image, 0x511);
    image.mmio_write(0xff00_0100, &[4; 4]);
    image
}

#[test]
fn devices_go_on_in_another_machine_where_they_stood() {
    let (source, target) = (used(), test_image());
    let bytes = postcard::to_stdvec(&source.save()).unwrap();
    let state: DevicesState = postcard::from_bytes(&bytes).unwrap();
    assert_ne!(state, target.save());
    target.restore(&state).unwrap();
    assert_eq!(target.save(), source.save());
    for port in [0x64, 0x60, 0x71, 0x602, 0xcf9, 0x511, 0xe0] {
        assert_eq!(
            read::<1>(&target, port),
            read::<1>(&source, port),
            "{port:#x}"
        );
    }
}

#[test]
fn a_state_no_device_can_have_is_refused_and_changes_nothing() {
    let good = used().save();
    let target = test_image();
    let before = target.save();
    let mut bad = good.clone();
    bad.test = None;
    assert_eq!(target.restore(&bad), Err(RestoreError::OtherDevices));
    assert_eq!(pc().restore(&good), Err(RestoreError::OtherDevices));
    // Vectors of another length are the only states that postcard reads and no device has.
    let bytes = postcard::to_stdvec(&good).unwrap();
    let mut refused = 0;
    for at in 0..bytes.len().min(400) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x7f;
        let Ok(state) = postcard::from_bytes::<DevicesState>(&changed) else {
            continue;
        };
        if target.restore(&state).is_err() {
            refused += 1;
            assert_eq!(target.save(), before);
        } else {
            target.restore(&before).unwrap();
        }
    }
    assert!(refused > 0);
}

proptest::proptest! {
    #[test]
    fn any_accesses_are_answered_and_leave_a_state_that_can_be_restored(
        is_test_image: bool,
        accesses in proptest::collection::vec(
            (port(), proptest::collection::vec(proptest::num::u8::ANY, 0..=8)),
            0..200,
        ),
    ) {
        let new = if is_test_image { test_image } else { pc };
        let devices = new();
        for (port, mut data) in accesses {
            devices.write(port, &data);
            devices.read(port, &mut data);
        }
        let state = devices.save();
        let target = new();
        target.restore(&state).unwrap();
        proptest::prop_assert_eq!(target.save(), state);
    }

    #[test]
    fn any_memory_access_is_answered(
        address in proptest::prop_oneof![proptest::num::u64::ANY, 0xfeff_0000_u64..0xff02_0000],
        mut data in proptest::collection::vec(proptest::num::u8::ANY, 0..=8),
    ) {
        let devices = test_image();
        devices.mmio_write(address, &data);
        devices.mmio_read(address, &mut data);
    }
}

/// Any port, but most often one that a device has.
fn port() -> impl proptest::strategy::Strategy<Value = u16> {
    proptest::prop_oneof![
        proptest::num::u16::ANY,
        proptest::sample::select(vec![
            0x60, 0x64, 0x70, 0x71, 0xe0, 0xe4, 0xe8, 0xf4, 0x505, 0x510, 0x511, 0x600, 0x604,
            0x605, 0x608, 0x60b, 0xcf9, 0x2000, 0x2017,
        ]),
    ]
}
