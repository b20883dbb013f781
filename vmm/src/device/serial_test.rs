use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use super::*;

/// More than a pipe holds.
const FLOOD: usize = 100_000;

fn pipe() -> (File, SerialPort) {
    let (reader, writer) = io::pipe().unwrap();
    let port = SerialPort::new(Output::File(OwnedFd::from(writer).into())).unwrap();
    (OwnedFd::from(reader).into(), port)
}

fn flood() -> Vec<u8> {
    (0..FLOOD).map(|n| n.to_le_bytes()[0]).collect()
}

#[test]
fn a_byte_is_out_when_it_is_written() {
    let (mut reader, port) = pipe();
    for byte in *b"abc" {
        port.write(0, &[byte], || panic!("there was room"));
        let mut read = [0];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(read, [byte]);
    }
}

#[test]
fn a_reader_that_stalls_holds_the_thread_only_until_it_is_wanted() {
    let (mut reader, port) = pipe();
    let asked = Cell::new(0);
    port.write(0, &flood(), || {
        asked.set(asked.get() + 1);
        if asked.get() < 3 {
            Wait::On
        } else {
            Wait::Over
        }
    });
    assert_eq!(asked.get(), 3);
    // Nothing is lost and nothing changes places for it.
    let all = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).map(|_| all)
    });
    port.write(0, b"end", || Wait::On);
    drop(port);
    let all = all.join().unwrap().unwrap();
    assert_eq!(all.strip_suffix(b"end").unwrap(), flood());
}

#[test]
fn what_is_left_at_the_end_goes_out_as_far_as_there_is_room() {
    let (mut reader, port) = pipe();
    port.write(0, &flood(), || Wait::Over);
    let mut page = [0; PIPE_BYTES];
    reader.read_exact(&mut page).unwrap();
    port.send_rest();
    drop(port);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(rest.len() < FLOOD);
    assert!(flood()[PIPE_BYTES..].starts_with(&rest));
    assert!(rest.len() >= 16 * PIPE_BYTES, "{}", rest.len());
}

#[test]
fn a_reader_that_went_away_stops_nobody() {
    let (reader, port) = pipe();
    drop(reader);
    port.write(0, b"abc", || panic!("nobody to wait for"));
}

#[test]
fn what_nobody_takes_stops_growing() {
    let (_reader, port) = pipe();
    for _ in 0..2 * UNSENT_BYTES_MAX / FLOOD {
        port.write(0, &flood(), || Wait::Over);
    }
    let unsent = port.lock().serial.writer().bytes.len();
    assert!(unsent <= UNSENT_BYTES_MAX, "{unsent}");
}

const LINE_CONTROL: u8 = 3;
const MODEM_CONTROL: u8 = 4;
const SCRATCH: u8 = 7;
const LOOPBACK: u8 = 0x10;

/// A port of which every register differs from a new one's: the divisor, then loopback with two
/// bytes to read.
fn set_up(port: &SerialPort) {
    let write = |offset, byte| port.write(offset, &[byte], || Wait::Over);
    write(LINE_CONTROL, 0x83);
    write(0, 0x34);
    write(1, 0x12);
    write(LINE_CONTROL, 0x1b);
    write(1, 0x0f);
    write(SCRATCH, 0x5a);
    write(MODEM_CONTROL, LOOPBACK | 0x0b);
    write(0, b'x');
    write(0, b'y');
}

fn registers(port: &SerialPort) -> Vec<u8> {
    // LSR, MSR, MCR, LCR, SCR, then IIR, whose read clears something, IER and what was received.
    let order = [5, 6, 4, 3, 7, 2, 1, 0, 0, 5];
    order.into_iter().map(|offset| port.read(offset)).collect()
}

#[test]
fn a_port_goes_on_in_another_machine_where_it_stood() {
    let ports = [(); 3].map(|()| SerialPort::new(Output::Null).unwrap());
    let [source, target, twin] = &ports;
    set_up(source);
    set_up(twin);
    let state = source.save();
    target.restore(&state).unwrap();
    assert_eq!(target.save(), state);
    assert_ne!(state, SerialPort::new(Output::Null).unwrap().save());
    assert_eq!(registers(target), registers(twin));
    assert_eq!(state.received, b"xy");
}

#[test]
fn what_no_reader_took_goes_out_of_the_restored_port_first() {
    let (_reader, source) = pipe();
    source.write(0, &flood(), || Wait::Over);
    let state = source.save();
    assert!(!state.unsent.is_empty());
    let bytes = postcard::to_stdvec(&state).unwrap();
    let state: SerialState = postcard::from_bytes(&bytes).unwrap();
    let target = SerialPort::new(Output::Buffer(Vec::new())).unwrap();
    target.restore(&state).unwrap();
    target.write(0, b"end", || Wait::Over);
    let sent = target.captured();
    assert_eq!(sent.strip_suffix(b"end").unwrap(), state.unsent);
    assert!(flood().ends_with(&state.unsent));
}

#[test]
fn a_state_larger_than_any_port_is_refused_and_changes_nothing() {
    let port = SerialPort::new(Output::Null).unwrap();
    let before = port.save();
    let with = |received, unsent| {
        let (received, unsent) = (vec![0; received], vec![0; unsent]);
        let scratch = 1;
        port.restore(&SerialState {
            received,
            unsent,
            scratch,
            ..before.clone()
        })
    };
    for (received, unsent) in [(65, 0), (0, UNSENT_BYTES_MAX + 1)] {
        assert!(with(received, unsent).is_err());
        assert_eq!(port.save(), before);
    }
    with(64, UNSENT_BYTES_MAX).unwrap();
}
