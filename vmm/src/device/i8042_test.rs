use super::*;
use crate::device::test_wires::TestWires;

/// A controller whose answers raise no interrupt.
fn quiet() -> (I8042, TestWires) {
    (I8042::default(), TestWires::default())
}

/// What Linux's driver reads for a command: status, then data, until nothing is left.
fn answers(controller: &mut I8042, wires: &TestWires) -> Vec<u8> {
    let mut all = Vec::new();
    while controller.status() & STATUS_OUTPUT_FULL != 0 {
        all.push(controller.read(wires));
    }
    all
}

#[test]
fn a_driver_finds_a_controller_that_passes_its_tests() {
    let (mut controller, wires) = quiet();
    assert!(answers(&mut controller, &wires).is_empty());
    for (command, answer) in [(SELF_TEST, 0x55), (KEYBOARD_TEST, 0), (READ_MODE, 0x44)] {
        assert_eq!(controller.command(command, &wires), None);
        assert_eq!(answers(&mut controller, &wires), [answer], "{command:#x}");
    }
}

#[test]
fn the_mode_is_what_was_written() {
    let (mut controller, wires) = quiet();
    controller.command(WRITE_MODE, &wires);
    controller.write(0x30, &wires);
    controller.command(READ_MODE, &wires);
    assert_eq!(answers(&mut controller, &wires), [0x30]);
    assert_eq!(controller.status() & STATUS_SYSTEM, 0);
}

/// `i8042_check_aux` of Linux gives up at once: the loop comes back without the mouse's mark, and
/// the mouse's line does not work.
#[test]
fn there_is_no_mouse_port() {
    let (mut controller, wires) = quiet();
    controller.command(WRITE_AUX_BUFFER, &wires);
    controller.write(0x5a, &wires);
    assert_eq!(controller.status() & STATUS_AUX, 0);
    assert_eq!(answers(&mut controller, &wires), [0x5a]);
    controller.command(AUX_TEST, &wires);
    assert_ne!(answers(&mut controller, &wires), [0]);
}

#[test]
fn a_keyboard_that_is_not_there_times_out_at_once() {
    let (mut controller, wires) = quiet();
    controller.command(WRITE_MODE, &wires);
    controller.write(MODE_KEYBOARD_INTERRUPT, &wires);
    const GET_ID: u8 = 0xf2;
    assert_eq!(controller.write(GET_ID, &wires), None);
    assert_eq!(wires.edges(KEYBOARD_LINE), 1);
    assert_eq!(controller.status() & STATUS_TIMEOUT, STATUS_TIMEOUT);
    assert_eq!(answers(&mut controller, &wires), [RESEND]);
    assert_eq!(wires.edges(KEYBOARD_LINE), 0);
}

#[test]
fn each_byte_that_waits_has_its_edge() {
    let (mut controller, wires) = quiet();
    controller.command(WRITE_MODE, &wires);
    controller.write(MODE_KEYBOARD_INTERRUPT | MODE_AUX_INTERRUPT, &wires);
    controller.write(0xf4, &wires);
    controller.command(WRITE_AUX, &wires);
    controller.write(0xf4, &wires);
    assert_eq!(wires.edges(AUX_LINE), 0);
    controller.read(&wires);
    assert_eq!(wires.edges(AUX_LINE), 1);
}

#[test]
fn every_way_to_pull_the_reset_line_restarts_and_no_other() {
    let (mut controller, wires) = quiet();
    for pulse in PULSE_FIRST..=0xff {
        let asked = (pulse & 1 == 0).then_some(Asked::Reset);
        assert_eq!(controller.command(pulse, &wires), asked, "{pulse:#x}");
    }
    controller.command(WRITE_OUTPUT_PORT, &wires);
    assert_eq!(controller.write(0xdf, &wires), None);
    controller.command(WRITE_OUTPUT_PORT, &wires);
    assert_eq!(controller.write(0xde, &wires), Some(Asked::Reset));
}

#[test]
fn what_nobody_reads_stops_growing() {
    let (mut controller, wires) = quiet();
    for _ in 0..100 {
        controller.command(SELF_TEST, &wires);
    }
    assert!(controller.is_valid());
    assert_eq!(answers(&mut controller, &wires).len(), OUTPUT_BYTES_MAX);
}
