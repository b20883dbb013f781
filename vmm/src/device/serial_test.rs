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
    let unsent = port.lock().serial.writer().0.len();
    assert!(unsent <= UNSENT_BYTES_MAX, "{unsent}");
}
