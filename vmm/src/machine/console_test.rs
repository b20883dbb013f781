use std::io::Write;
use std::os::fd::OwnedFd;

use super::*;
use crate::device::serial::Output;

const DATA: u8 = 0;
const INTERRUPT_ENABLE: u8 = 1;
const LINE_STATUS: u8 = 5;
const DATA_READY: u8 = 1;

fn port() -> SerialPort {
    let port = SerialPort::new(Output::Null).unwrap();
    port.write(INTERRUPT_ENABLE, &[1], || unreachable!());
    port
}

/// What a driver reads once it has its interrupt.
fn received(port: &SerialPort) -> Vec<u8> {
    let ready = || port.read(LINE_STATUS) & DATA_READY != 0;
    std::iter::from_fn(|| ready().then(|| port.read(DATA))).collect()
}

fn piped(serial: &SerialPort) -> (io::PipeWriter, Console) {
    let (reader, writer) = io::pipe().unwrap();
    let source = Source::Stream(File::from(OwnedFd::from(reader)));
    (writer, Console::from_source(source, serial).unwrap())
}

#[test]
fn a_pipe_is_read_to_its_end_and_every_byte_is_the_guests() {
    let port = port();
    let (mut writer, mut console) = piped(&port);
    assert_eq!(console.read(&port), Found::Input);
    writer.write_all(b"echo\n\x01x").unwrap();
    drop(writer);
    assert_eq!(console.read(&port), Found::Input);
    assert_eq!(console.read(&port), Found::End);
    assert_eq!(received(&port), b"echo\n\x01x");
}

#[test]
fn a_guest_that_does_not_read_stops_the_reading_until_it_does() {
    let port = port();
    let (mut writer, mut console) = piped(&port);
    let sent: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let mut all = Vec::new();
    let mut stops = 0;
    let to_send = sent.clone();
    let sender = std::thread::spawn(move || writer.write_all(&to_send));
    loop {
        match console.read(&port) {
            Found::Input => {}
            Found::NoRoom => {
                stops += 1;
                // Nothing has rung, because there has been no room since.
                assert!(console.room.read().is_err());
                all.extend(received(&port));
                assert!(console.room.read().is_ok());
                console.hear();
                assert!(console.room.read().is_err());
            }
            Found::End => break,
            Found::Leave => panic!("no key of ours"),
        }
    }
    sender.join().unwrap().unwrap();
    all.extend(received(&port));
    assert!(stops > 0);
    assert!(all == sent);
}
