use super::*;

const ENABLE_PORT: u16 = 2;
const CONTROL_PORT: u16 = 4;
const TIMER_PORT: u16 = 8;

fn read<const N: usize>(pm: &AcpiPm, offset: u16, uptime: Duration) -> [u8; N] {
    let mut data = [0; N];
    pm.read(offset, &mut data, uptime);
    data
}

fn off(sleep_type: u16) -> [u8; 2] {
    (SLP_EN | sleep_type << SLP_TYP_SHIFT).to_le_bytes()
}

#[test]
fn soft_off_switches_off_and_other_sleeps_do_nothing() {
    for sleep_type in 0..8 {
        let asked = AcpiPm::default().write(CONTROL_PORT, &off(sleep_type));
        let expected = matches!(sleep_type, 0 | 5).then_some(Asked::PowerOff);
        assert_eq!(asked, expected, "{sleep_type}");
    }
}

#[test]
fn the_type_may_be_written_before_the_enable_bit() {
    let mut pm = AcpiPm::default();
    let [low, high] = off(5);
    let type_only = high & !(1 << 5);
    assert_eq!(pm.write(CONTROL_PORT, &[low, type_only]), None);
    assert_eq!(pm.write(CONTROL_PORT + 1, &[high]), Some(Asked::PowerOff));
}

#[test]
fn acpi_is_on_and_the_enable_bit_reads_0() {
    let mut pm = AcpiPm::default();
    pm.write(CONTROL_PORT, &off(3));
    let control = u16::from_le_bytes(read(&pm, CONTROL_PORT, Duration::ZERO));
    assert_eq!(control, SCI_EN | 3 << SLP_TYP_SHIFT);
}

#[test]
fn nothing_ever_happens_and_the_enable_register_keeps_its_value() {
    let mut pm = AcpiPm::default();
    pm.write(ENABLE_PORT, &[0x21, 0x05]);
    pm.write(0, &[0xff, 0xff]);
    assert_eq!(read(&pm, 0, Duration::ZERO), [0, 0, 0x21, 0x05]);
}

#[test]
fn the_timer_counts_24_bits_at_its_rate() {
    let pm = AcpiPm::default();
    let at = |uptime| u32::from_le_bytes(read(&pm, TIMER_PORT, uptime));
    assert_eq!(at(Duration::ZERO), 0);
    assert_eq!(at(Duration::from_secs(1)), 3_579_545);
    let four_seconds = 4 * 3_579_545;
    assert_eq!(at(Duration::from_secs(4)), four_seconds);
    assert_eq!(at(Duration::from_secs(5)), (5 * 3_579_545) & TIMER_MASK);
    assert!(at(Duration::MAX) <= TIMER_MASK);
}

#[test]
fn the_timer_cannot_be_written() {
    let mut pm = AcpiPm::default();
    pm.write(TIMER_PORT, &[1, 2, 3, 4]);
    assert_eq!(pm, AcpiPm::default());
}
