use super::*;
use crate::device::test_wires::TestWires;

fn cmos(memory: &str, vcpus: u32) -> (Cmos, TestWires) {
    let cmos = Cmos::new(memory.parse().unwrap(), vcpus);
    (cmos, TestWires::default())
}

fn read(cmos: &mut Cmos, index: u8, wires: &TestWires) -> u8 {
    cmos.select(index);
    cmos.read(wires)
}

fn write(cmos: &mut Cmos, index: u8, byte: u8) {
    cmos.select(index);
    cmos.write(byte);
}

fn word(cmos: &mut Cmos, index: u8, wires: &TestWires) -> u16 {
    u16::from_le_bytes([read(cmos, index, wires), read(cmos, index + 1, wires)])
}

const TIME: [u8; 8] = [SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY];

fn time(cmos: &mut Cmos, wires: &TestWires) -> [u8; 8] {
    TIME.map(|index| read(cmos, index, wires))
}

/// 2023-11-14 22:13:20, a Tuesday.
const A_TIME: Duration = Duration::from_secs(1_700_000_000);

#[test]
fn the_time_is_the_hosts_in_the_form_that_the_guest_chose() {
    let (mut cmos, wires) = cmos("128M", 1);
    wires.set_time_of_day(A_TIME);
    let bcd = [0x20, 0x13, 0x22, 3, 0x14, 0x11, 0x23, 0x20];
    assert_eq!(time(&mut cmos, &wires), bcd);
    write(&mut cmos, STATUS_B, B_24_HOURS | B_BINARY);
    assert_eq!(time(&mut cmos, &wires), [20, 13, 22, 3, 14, 11, 23, 20]);
    write(&mut cmos, STATUS_B, 0);
    assert_eq!(read(&mut cmos, HOURS, &wires), AFTERNOON | 0x10);
}

#[test]
fn midnight_and_noon_are_twelve_on_a_clock_of_twelve_hours() {
    let (mut cmos, wires) = cmos("128M", 1);
    write(&mut cmos, STATUS_B, 0);
    for (hour, shown) in [(0, 0x12), (1, 0x01), (12, 0x92), (13, 0x81)] {
        wires.set_time_of_day(Duration::from_secs(hour * 3600));
        assert_eq!(read(&mut cmos, HOURS, &wires), shown, "{hour}");
    }
}

#[test]
fn an_update_is_announced_before_the_second_ends() {
    let (mut cmos, wires) = cmos("128M", 1);
    for (us, in_progress) in [(0, 0), (999_755, 0), (999_757, 0x80), (999_999, 0x80)] {
        wires.set_time_of_day(A_TIME + Duration::from_micros(us));
        let status = read(&mut cmos, STATUS_A, &wires);
        assert_eq!(status, A_DIVIDER | in_progress, "{us}");
    }
}

#[test]
fn a_clock_set_by_the_guest_goes_on_with_the_hosts_time() {
    let (mut cmos, wires) = cmos("128M", 1);
    wires.set_time_of_day(A_TIME);
    let before = time(&mut cmos, &wires);
    for index in TIME.into_iter().chain([STATUS_C, STATUS_D]) {
        write(&mut cmos, index, 0);
    }
    assert_eq!(time(&mut cmos, &wires), before);
    assert_eq!(read(&mut cmos, STATUS_D, &wires), D_BATTERY_GOOD);
}

#[test]
fn the_shutdown_status_is_the_guests() {
    let (mut cmos, wires) = cmos("128M", 1);
    write(&mut cmos, 0x0f, 0x0a);
    // Bit 7 of the index masks NMIs.
    assert_eq!(read(&mut cmos, 0x8f, &wires), 0x0a);
}

#[test]
fn firmware_finds_the_memory_and_the_cpus() {
    for (memory, extended, above_16_mib, above_4_gib) in [
        ("2M", 1024, 0, 0),
        ("16M", 15 * 1024, 0, 0),
        ("128M", 0xffff, (128 - 16) * 16, 0),
        ("3G", 0xffff, (3072 - 16) * 16, 0),
        ("5G", 0xffff, (3072 - 16) * 16, 2048 * 16),
    ] {
        let (mut cmos, wires) = cmos(memory, 4);
        assert_eq!(word(&mut cmos, 0x15, &wires), 640);
        for index in [0x17, 0x30] {
            assert_eq!(word(&mut cmos, index, &wires), extended, "{memory}");
        }
        assert_eq!(word(&mut cmos, 0x34, &wires), above_16_mib, "{memory}");
        let high = u32::from(word(&mut cmos, 0x5b, &wires));
        let highest = u32::from(read(&mut cmos, 0x5d, &wires));
        assert_eq!(high | highest << 16, above_4_gib, "{memory}");
        assert_eq!(read(&mut cmos, 0x5f, &wires), 3);
    }
}

#[test]
fn more_cpus_than_a_byte_counts_are_as_many_as_it_counts() {
    let (mut cmos, wires) = cmos("128M", 1024);
    assert_eq!(read(&mut cmos, 0x5f, &wires), 0xff);
}
