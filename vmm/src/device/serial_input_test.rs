use std::sync::Arc;

use vmm_sys_util::eventfd::EventFd;

use super::*;
use crate::device::serial::{Output, SerialPort, Wait};

const DATA: u8 = 0;
const DATA_READY: u8 = 1;
/// IER of Linux's driver once the port is open: received data, and line status.
const LISTENS: u8 = 0x05;

/// A port with an interrupt, and the line's other end.
fn port() -> (SerialPort, Arc<EventFd>) {
    let line = Arc::new(EventFd::new(libc::EFD_NONBLOCK).unwrap());
    let port = SerialPort::with_interrupt(Output::Buffer(Vec::new()), Arc::clone(&line));
    (port.unwrap(), line)
}

fn set(port: &SerialPort, offset: u8, value: u8) {
    port.write(offset, &[value], || Wait::Over);
}

/// What an interrupt handler reads.
fn drain(port: &SerialPort) -> Vec<u8> {
    let ready = || port.read(LINE_STATUS) & DATA_READY != 0;
    std::iter::from_fn(|| ready().then(|| port.read(DATA))).collect()
}

/// Edges since the last question.
fn edges(line: &EventFd) -> u64 {
    line.read().unwrap_or(0)
}

#[test]
fn a_driver_that_listens_gets_an_edge_and_the_bytes() {
    let (port, line) = port();
    set(&port, INTERRUPT_ENABLE, LISTENS);
    edges(&line);
    assert_eq!(port.receive(b"ls\r"), Room::Enough);
    assert_eq!(edges(&line), 1);
    assert_eq!(drain(&port), b"ls\r");
    assert_eq!(port.receive(b"x"), Room::Enough);
    assert_eq!(edges(&line), 1);
}

/// What Linux does with a port between its boot messages and opening it, all of which would eat
/// bytes: probe with loopback, a console that prints, and reads that clear the receiver.
#[test]
fn what_comes_before_the_driver_is_there_when_it_is() {
    let (port, line) = port();
    port.receive(b"early\n");
    set(&port, MODEM_CONTROL, LOOPBACK | 0x0a);
    set(&port, DATA, b'?');
    assert_eq!(port.read(DATA), b'?');
    set(&port, MODEM_CONTROL, 0x0b);
    for byte in b"Linux version" {
        assert_eq!(port.read(LINE_STATUS) & DATA_READY, 0);
        assert_eq!(port.read(LINE_STATUS) & DATA_READY, 0);
        set(&port, DATA, *byte);
    }
    for offset in [LINE_STATUS, DATA, 2, 6] {
        port.read(offset);
    }
    edges(&line);
    set(&port, INTERRUPT_ENABLE, LISTENS);
    assert_eq!(edges(&line), 1);
    assert_eq!(drain(&port), b"early\n");
}

#[test]
fn a_driver_without_interrupts_listens_by_reading_the_line_status() {
    let (port, _) = port();
    port.receive(b"ab");
    let mut all = Vec::new();
    for _ in 0..4 * usize::from(LISTENING_READS) {
        if port.read(LINE_STATUS) & DATA_READY != 0 {
            all.push(port.read(DATA));
        }
    }
    assert_eq!(all, b"ab");
}

#[test]
fn nothing_goes_into_the_receiver_in_loopback_mode() {
    let (port, _) = port();
    set(&port, INTERRUPT_ENABLE, LISTENS);
    set(&port, MODEM_CONTROL, LOOPBACK);
    port.receive(b"ab");
    assert_eq!(drain(&port), b"");
    set(&port, MODEM_CONTROL, 0x0b);
    assert_eq!(drain(&port), b"ab");
}

#[test]
fn the_fifo_never_overruns_and_nothing_is_lost() {
    let (port, line) = port();
    set(&port, INTERRUPT_ENABLE, LISTENS);
    let sent: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    for part in sent.chunks(INPUT_BYTES_AT_ONCE) {
        assert_eq!(port.receive(part), Room::Enough);
    }
    let mut all = Vec::new();
    while edges(&line) != 0 {
        // As Linux does it: at most so many for an interrupt, then it returns.
        for _ in 0..256 {
            if port.read(LINE_STATUS) & DATA_READY != 0 {
                all.push(port.read(DATA));
            }
        }
    }
    assert!(all == sent, "{} of {}", all.len(), sent.len());
}

#[test]
fn who_was_told_that_there_is_no_room_is_called_once_when_there_is() {
    let (port, _) = port();
    let bell = port.connect_input().unwrap();
    let chunk = [b'x'; INPUT_BYTES_AT_ONCE];
    let told = (0..100).find(|_| port.receive(&chunk) == Room::None);
    assert_eq!(told, Some(15));
    assert!(bell.read().is_err());
    set(&port, INTERRUPT_ENABLE, LISTENS);
    for _ in 0..INPUT_BYTES_AT_ONCE {
        port.read(DATA);
    }
    assert_eq!(bell.read().unwrap(), 1);
    drain(&port);
    assert!(bell.read().is_err());
}

#[test]
fn a_break_is_a_zero_with_its_mark_for_who_listens() {
    let (port, line) = port();
    port.receive_break();
    set(&port, INTERRUPT_ENABLE, LISTENS);
    assert_eq!(port.read(LINE_STATUS) & (BREAK | DATA_READY), 0);
    edges(&line);
    port.receive_break();
    assert_eq!(edges(&line), 1);
    port.receive(b"h");
    assert_eq!(
        port.read(LINE_STATUS) & (BREAK | DATA_READY),
        BREAK | DATA_READY
    );
    assert_eq!(port.read(DATA), 0);
    assert_eq!(port.read(LINE_STATUS) & (BREAK | DATA_READY), DATA_READY);
    assert_eq!(port.read(DATA), b'h');
}

#[test]
fn what_waits_goes_with_the_machine_and_its_edge_is_sent_again() {
    let (source, _) = port();
    set(&source, INTERRUPT_ENABLE, LISTENS);
    let sent: Vec<u8> = (0..200).collect();
    source.receive(&sent);
    set(&source, DATA, b'\n');
    for byte in b"Kernel panic - not syncing: no" {
        set(&source, DATA, *byte);
    }
    let (target, line) = port();
    target.restore(&source.save()).unwrap();
    edges(&line);
    let console = source.save_console();
    assert!(console.is_valid());
    assert!(!target.saw_kernel_panic());
    target.restore_console(&console);
    assert!(target.saw_kernel_panic());
    assert!(edges(&line) > 0);
    assert_eq!(target.save_console(), console);
    assert_eq!(drain(&target), sent);
}

#[test]
fn a_port_that_nobody_waits_for_raises_no_interrupt_when_it_is_restored() {
    let (target, line) = port();
    let (source, _) = port();
    target.restore(&source.save()).unwrap();
    target.restore_console(&source.save_console());
    assert_eq!(edges(&line), 0);
}

proptest::proptest! {
    #[test]
    fn whatever_the_guest_does_no_byte_is_lost_or_out_of_turn(
        steps in proptest::collection::vec((0_u8..12, proptest::num::u8::ANY), 0..300),
    ) {
        let (port, _) = port();
        let (mut sent, mut got, mut next) = (Vec::new(), Vec::new(), 1_u8);
        for (step, value) in steps {
            match step {
                0 => {
                    let bytes: Vec<u8> = (0..value % 100)
                        .map(|_| { next = next.checked_add(1).unwrap_or(1); next })
                        .collect();
                    port.receive(&bytes);
                    sent.extend(bytes);
                }
                // Not the transmitter: in loopback mode the guest sends to itself.
                1..=7 => set(&port, step, value),
                _ if port.read(LINE_CONTROL) & DIVISOR_LATCH == 0
                    && port.read(LINE_STATUS) & DATA_READY != 0 => got.push(port.read(DATA)),
                _ => {}
            }
        }
        set(&port, LINE_CONTROL, 3);
        set(&port, MODEM_CONTROL, 0x0b);
        set(&port, INTERRUPT_ENABLE, LISTENS);
        got.extend(drain(&port));
        proptest::prop_assert_eq!(got, sent);
    }
}

#[test]
fn a_break_waits_for_what_came_before_it() {
    let (port, _) = port();
    port.receive(b"b");
    port.receive_break();
    port.receive(b"t");
    set(&port, INTERRUPT_ENABLE, LISTENS);
    let next = || {
        (
            port.read(LINE_STATUS) & (BREAK | DATA_READY),
            port.read(DATA),
        )
    };
    assert_eq!(next(), (DATA_READY, b'b'));
    assert_eq!(next(), (BREAK | DATA_READY, 0));
    assert_eq!(next(), (DATA_READY, b't'));
}

#[test]
fn a_machine_that_comes_with_its_input_full_says_so_and_calls() {
    let (source, _) = port();
    while source.receive(&[b'x'; INPUT_BYTES_AT_ONCE]) == Room::Enough {}
    let (target, _) = port();
    target.restore(&source.save()).unwrap();
    target.restore_console(&source.save_console());
    let bell = target.connect_input().unwrap();
    assert_eq!(target.room(), Room::None);
    set(&target, INTERRUPT_ENABLE, LISTENS);
    drain(&target);
    assert!(bell.read().is_ok());
}
